#include "device/call_work.h"

#include <algorithm>

namespace hotaru {
namespace {

// About what a part must do, in nanoseconds of one core, to be worth telling another thread of it.
constexpr double kLeastPartNs = 1000;
// Of a step that is longer than that on every thread, parts may differ in speed: then there are more than threads.
constexpr double kLongPartNs = 500'000;
// But not where reading the inputs once more would take more of a part than this.
constexpr double kMostRereading = 0.05;

struct WorkCounter {
  const StepInputs& step;
  [[nodiscard]] uint64_t rows() const { return static_cast<uint64_t>(step.tokens); }

  CallWork operator()(const EmbedArgs& args) const { return copies(static_cast<uint64_t>(args.width), 1, 4); }
  CallWork operator()(const GatherArgs& args) const { return copies(args.row_bytes, 1, 1); }
  CallWork operator()(const RmsNormArgs& args) const { return copies(static_cast<uint64_t>(args.width), 8, 1); }
  CallWork operator()(const SwiGluArgs& args) const { return copies(static_cast<uint64_t>(args.width), 8, 1); }

  CallWork operator()(const LinearInt4Args& args) const {
    const auto inputs = static_cast<uint64_t>(args.inputs);
    const auto outputs = static_cast<uint64_t>(args.outputs);
    return linear(packed_int4_bytes(outputs, inputs), inputs, outputs, args.add_to_output);
  }
  CallWork operator()(const LinearInt8Args& args) const {
    const auto inputs = static_cast<uint64_t>(args.inputs);
    const auto outputs = static_cast<uint64_t>(args.outputs);
    return linear(packed_int8_bytes(outputs, inputs), inputs, outputs, false);
  }
  CallWork operator()(const RopeArgs& args) const {
    const auto heads = static_cast<uint64_t>(args.query_heads) + 2 * static_cast<uint64_t>(args.kv_heads);
    return copies(heads * static_cast<uint64_t>(args.head_width), 4, 1);
  }

  CallWork operator()(const AttentionArgs& args) const {
    const auto width = static_cast<uint64_t>(args.head_width);
    CallWork work = copies(static_cast<uint64_t>(args.query_heads) * width, 1, 1);
    uint64_t keys_read = 0;
    uint64_t keys_seen = 0;
    for (int t = 0; t < step.tokens; t++) {
      const auto keys = static_cast<uint64_t>(step.position[t]) + 1;
      keys_seen += keys;
      const bool is_last_of_context = t + 1 == step.tokens || step.pages[t + 1] != step.pages[t];
      if (is_last_of_context) keys_read += keys;
    }
    work.memory_bytes = keys_read * static_cast<uint64_t>(args.kv_heads) * width * 2;
    work.multiply_adds = keys_seen * static_cast<uint64_t>(args.query_heads) * width * 2;
    return work;
  }

 private:
  // Bytes read and written for each of `width` elements of every row.
  [[nodiscard]] CallWork copies(uint64_t width, uint64_t read, uint64_t written) const {
    return {.activation_bytes = rows() * width * (read + written)};
  }
  [[nodiscard]] CallWork linear(uint64_t weight_bytes, uint64_t inputs, uint64_t outputs, bool adds) const {
    return {.memory_bytes = weight_bytes + outputs * 8,  // offsets and scales
            .activation_bytes = rows() * (inputs + outputs * (adds ? 8 : 4)),
            .multiply_adds = rows() * inputs * outputs,
            .input_bytes = rows() * inputs};
  }
};

// A guess: 20 GB/s, 60 multiply-adds (tiles: 1600) and 10 bytes of activations a nanosecond. Only sizes matter here.
constexpr double kActivationBytesPerNs = 10;
double nanoseconds(const CallWork& work, Isa isa) {
  return static_cast<double>(work.memory_bytes) / 20 +
         static_cast<double>(work.multiply_adds) / (isa == Isa::kAmx ? 1600 : 60) +
         static_cast<double>(work.activation_bytes) / kActivationBytesPerNs;
}

}  // namespace

CallWork work_of(const PlannedCall& call, const StepInputs& step) { return std::visit(WorkCounter{step}, call); }

int parts_of(const CallWork& work, int threads, Isa isa) {
  const double cost = nanoseconds(work, isa);
  const int many = 2 * threads;
  const double rereading = static_cast<double>(work.input_bytes) / kActivationBytesPerNs;
  if (cost >= kLongPartNs * threads && rereading <= kMostRereading * cost / many) return many;
  return std::clamp(static_cast<int>(cost / kLeastPartNs), 1, threads);
}

}  // namespace hotaru
