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
#include "device/limits.h"
#include "device/profile.h"
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
  int output_rows = 0;     // rows of one compute_logits or compute_hidden at most
  int hidden_width = 0;    // of compute_hidden; 0: this HEF has no norm in front of its output layer
  // KV pages: a page holds that many positions of one context; contexts that began alike may share one.
  int page_tokens = 0;
  uint64_t page_bytes = 0;
  int pages = 0;  // all there are
  // Names what a token's keys, values and logits depend on (format/model_hash.h); without adapters.
  uint64_t model_hash = 0;
  // Ids of the tokens that stand before position 0 of every context: their keys and values are constants of the HEF.
  std::vector<int32_t> prefix;
  Isa isa = Isa::kRef;
  int threads = 1;
  uint64_t weight_bytes = 0, kv_bytes = 0, activation_bytes = 0, total_bytes = 0;
  uint64_t adapter_bytes = 0;
  std::vector<std::string> adapters;     // names; an adapter's number is its place
  std::vector<uint64_t> adapter_hashes;  // of their content, in the same order
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
  // Makes sure that positions [first, tokens) have pages of this context alone: missing ones are taken, shared ones
  // copied first. kNoMemory: none left; what was held stays.
  virtual Result<void> reserve(int context, int first, int tokens) = 0;
  // `to`, which holds nothing and has the same adapter, now begins with the first `tokens` positions of `from`. Pages
  // are shared: either side gets its own copy of one when it reserves it.
  virtual Result<void> share(int from, int to, int tokens) = 0;
  // Gives back the pages of positions >= tokens.
  virtual void truncate(int context, int tokens) = 0;
  [[nodiscard]] virtual int free_pages() const = 0;
  // A page's bytes, page_bytes of them, the same on every machine. Page p holds positions p * page_tokens and on. What
  // is written must be reserved (the context's alone) and have been read from a device with the same model_hash.
  virtual void read_page(int context, int page, std::span<std::byte> bytes) const = 0;
  virtual void write_page(int context, int page, std::span<const std::byte> bytes) = 0;

  // Runs the rows through the model: keys and values are stored, and kept what compute_logits needs of each row. At
  // most prefill_rows rows, every position reserved; within a context positions rise by one from row to row, and every
  // earlier position was stepped before. Up to decode_rows rows use program `tbt`, more use `prefill`: the bits are the
  // same.
  virtual void step(std::span<const StepRow> rows) = 0;
  // Logits of rows of the last step (at most output_rows): then logits(i) is [vocabulary], valid until the next call.
  // The last block of layers is played here, for these rows only: their contexts hold what they held after the step.
  virtual void compute_logits(std::span<const int32_t> rows) = 0;
  [[nodiscard]] virtual std::span<const float> logits(int index) const = 0;
  // What the output layer sees of rows of the last step (at most output_rows), the final norm's codes as numbers
  // ((code - zero point) / inverse scale): then hidden(i) is [hidden_width], valid until the next call. What the
  // compiler has folded into the output layer (the norm's weights) is not in it, nor is a rotation taken back. Wants
  // hidden_width > 0.
  virtual void compute_hidden(std::span<const int32_t> rows) = 0;
  [[nodiscard]] virtual std::span<const float> hidden(int index) const = 0;

  // From now on every call of a program is timed; the profile holds those that were played.
  virtual void start_profile() {}
  virtual std::vector<CallProfile> stop_profile() { return {}; }
  // What it can do at most, measured now: a machine that is shared has no speed of its own.
  virtual MachineLimits measure_limits() { return {}; }
};

}  // namespace hotaru
