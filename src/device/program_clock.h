// Times the calls of programs, when somebody asked for it (profile.h).
#pragma once

#include <chrono>
#include <initializer_list>
#include <vector>

#include "device/player.h"
#include "device/profile.h"

namespace hotaru {

class ProgramClock {
 public:
  void start(std::initializer_list<const PlannedProgram*> programs);
  // The calls that were played, in the order of their programs.
  std::vector<CallProfile> stop();

  // Everything before call i of the program is done.
  void begin_call(const PlannedProgram& program, const StepInputs& inputs, size_t i);
  // Everything is done.
  void end();

 private:
  struct Timed {
    const PlannedProgram* program;
    std::vector<CallProfile> calls;
  };
  std::vector<Timed> programs_;     // empty: nobody asked
  CallProfile* running_ = nullptr;  // the call that the clock is on
  std::chrono::steady_clock::time_point since_;
};

}  // namespace hotaru
