// A program made ready to play: kernel calls with all pointers resolved. Only what belongs to a step is filled in while
// playing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "device/adapters.h"
#include "format/hef.h"
#include "kernels/bias_columns.h"
#include "kernels/kernel_set.h"

namespace hotaru {

// A kernel call: the op's arguments, complete but for the step's fields (tokens, id, row, position, pages, workspace).
using PlannedCall = std::variant<EmbedArgs, GatherArgs, RmsNormArgs, LinearInt4Args, LinearInt8Args, RopeArgs,
                                 AttentionArgs, SwiGluArgs>;

struct PlannedProgram {
  std::string name;
  int max_rows = 0;
  std::vector<PlannedCall> calls;
  std::vector<std::string> call_names;                  // "layer 0 qkv"
  std::vector<std::vector<PlannedAddition>> additions;  // by call: what adapters add behind it
  std::vector<bool> gates;                              // by call: it and the next are a gated linear (gated_linear.h)
  std::vector<bool> private_products;                   // by call: such a one, whose products the next alone reads
  const float* logits = nullptr;                        // [max_rows, V], head only
};

// What changes from step to step.
struct StepInputs {
  int tokens = 0;                            // rows of this step
  const int32_t* id = nullptr;               // [T]
  const int32_t* position = nullptr;         // [T]
  const int32_t* row = nullptr;              // [T] head only: rows of the last step
  std::byte* const* const* pages = nullptr;  // [T]
  std::span<const AdapterRun> adapter_runs;  // rows with an adapter
};

// cos and sin [positions, E/2] of one frequency tensor.
struct RopeTable {
  int frequency_tensor = -1;
  float attention_factor = 1;
  std::vector<float> cosine, sine;
};

// Columns for split keys, of one tensor of their codes' scales and offsets.
struct KeyColumnTable {
  int constants_tensor = -1;
  int frequency_tensor = -1;
  float attention_factor = 1;
  BiasColumns columns;
};

// Where a program's buffers and tensors lie in this device's memory.
struct ProgramMemory {
  const HefFile* hef = nullptr;
  std::byte* arena = nullptr;
  std::span<const RopeTable> rope_tables;
  std::span<const KeyColumnTable> key_columns;
  int context_tokens = 0;
  int prefix_tokens = 0;  // position 0 is turned by the angles of this one
  AdapterPlanner* adapters = nullptr;
};

// Every id was checked when the HEF was opened (format/program_check.h); what the file may hold but this device cannot
// do is kNotSupported.
Result<PlannedProgram> plan_program(const fb::Program& program, const ProgramMemory& memory);
// Scratch that one thread needs to play the program.
size_t workspace_bytes(const PlannedProgram& program);

// One thread's share of a call.
struct PlayingThread {
  const KernelSet* kernels = nullptr;
  std::byte* workspace = nullptr;  // workspace_bytes(program) at least
  Slice slice;
};

// A program's steps (base/thread_pool.h): two a call, the second one for what adapters add to it.
constexpr size_t step_count(const PlannedProgram& program) { return 2 * program.calls.size(); }
// Parts of a step that `threads` threads do well to share; 0 where there is nothing to do.
int begin_step(const PlannedProgram& program, const StepInputs& inputs, size_t step, int threads, Isa isa);
void play_step(const PlannedProgram& program, const StepInputs& inputs, size_t step, const PlayingThread& thread);

}  // namespace hotaru
