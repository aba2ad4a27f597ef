#include "device/program_clock.h"

#include <algorithm>
#include <utility>

#include "device/call_work.h"

namespace hotaru {
namespace {

// By PlannedCall's alternative.
constexpr const char* kOperations[] = {"embed",       "gather", "rms_norm",  "linear_int4",
                                       "linear_int8", "rope",   "attention", "swiglu"};
static_assert(std::size(kOperations) == std::variant_size_v<PlannedCall>);

}  // namespace

void ProgramClock::start(std::initializer_list<const PlannedProgram*> programs) {
  programs_.clear();
  for (const PlannedProgram* program : programs) {
    Timed& timed = programs_.emplace_back(Timed{program, {}});
    for (size_t i = 0; i < program->calls.size(); i++) {
      CallProfile& call = timed.calls.emplace_back();
      call.program = program->name;
      call.call = program->call_names[i];
      call.operation = kOperations[program->calls[i].index()];
    }
  }
}

std::vector<CallProfile> ProgramClock::stop() {
  std::vector<CallProfile> played;
  for (Timed& timed : programs_) {
    for (CallProfile& call : timed.calls) {
      if (call.plays > 0) played.push_back(std::move(call));
    }
  }
  programs_.clear();
  return played;
}

void ProgramClock::begin_call(const PlannedProgram& program, const StepInputs& inputs, size_t i) {
  if (programs_.empty()) return;
  end();
  const auto timed = std::ranges::find(programs_, &program, &Timed::program);
  running_ = &timed->calls[i];
  const CallWork work = work_of(program.calls[i], inputs);
  running_->plays++;
  running_->memory_bytes += work.memory_bytes;
  running_->activation_bytes += work.activation_bytes;
  running_->multiply_adds += work.multiply_adds;
  since_ = std::chrono::steady_clock::now();
}

void ProgramClock::end() {
  if (running_ == nullptr) return;
  running_->seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - since_).count();
  running_ = nullptr;
}

}  // namespace hotaru
