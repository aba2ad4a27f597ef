// The device: holds one HEF in its memory and plays its programs. It knows tokens, positions and pages; not what a
// Llama is. Everything is allocated when it is opened; a step allocates nothing and takes no lock.
//
// Not thread-safe: one step at a time. Contexts and steps may be driven from any single thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/isa.h"

namespace hotaru {

struct DeviceOptions {
  Isa isa = best_isa();
  int threads = 0;            // 0: default_thread_count()
  uint64_t memory_bytes = 0;  // DRAM budget; 0: the machine's memory
  int context_tokens = 0;     // KV capacity in tokens of all contexts together; 0: as the HEF plans
  bool verify_checksums = true;
};

inline constexpr int kNoAdapter = -1;

struct DeviceInfo {
  int vocabulary = 0;
  int context_tokens = 0;  // KV capacity, and the longest context
  int prefill_rows = 0;    // rows of one step at most
  int decode_rows = 0;     // rows of one `tbt` step at most
  int output_rows = 0;     // rows of one compute_logits at most
  // Ids of the tokens that stand before position 0 of every context: their keys and values are constants of the HEF.
  std::vector<int32_t> prefix;
  Isa isa = Isa::kRef;
  int threads = 1;
  uint64_t weight_bytes = 0, kv_bytes = 0, activation_bytes = 0, total_bytes = 0;
  uint64_t adapter_bytes = 0;
  std::vector<std::string> adapters;  // names; an adapter's number is its place
};

// The number of the adapter of that name; an error lists those there are.
Result<int> find_adapter(const DeviceInfo& info, std::string_view name);

// One token of a step: its id, its position in its context, and the context.
struct StepRow {
  int32_t token = 0;
  int32_t position = 0;
  int32_t context = 0;
};

class Device {
 public:
  virtual ~Device() = default;

  // Refuses a HEF that does not fit memory_bytes, naming the bytes needed and available.
  static Result<std::unique_ptr<Device>> open(const std::string& hef_path, const DeviceOptions& options);

  [[nodiscard]] virtual const DeviceInfo& info() const = 0;

  // A context is a table of KV pages and an adapter, at first none. Errors: kNoMemory when no slot is left.
  virtual Result<int> create_context() = 0;
  virtual void destroy_context(int context) = 0;
  // The adapter of a context's next rows (kNoAdapter: the base model). What the context holds already stays as it was
  // made: truncate it first.
  virtual void set_adapter(int context, int adapter) = 0;
  // Makes sure that positions [0, tokens) have pages. kNoMemory: none left (those already held stay).
  virtual Result<void> reserve(int context, int tokens) = 0;
  // Gives back the pages of positions >= tokens.
  virtual void truncate(int context, int tokens) = 0;

  // Runs the rows through the model: keys and values are stored, residual rows kept for compute_logits. At most
  // prefill_rows rows; within a context positions rise by one from row to row, and every earlier position was stepped
  // before. Up to decode_rows rows use program `tbt`, more use `prefill`: the bits are the same.
  virtual void step(std::span<const StepRow> rows) = 0;
  // Logits of rows of the last step (at most output_rows): then logits(i) is [vocabulary], valid until the next call.
  virtual void compute_logits(std::span<const int32_t> rows) = 0;
  [[nodiscard]] virtual std::span<const float> logits(int index) const = 0;
};

}  // namespace hotaru
