// The device as software: a HEF mapped read-only, one arena, one KV pool and one thread pool, all sized when it is
// opened.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/thread_pool.h"
#include "device/adapters.h"
#include "device/device.h"
#include "device/kv_pool.h"
#include "device/player.h"
#include "device/program_clock.h"
#include "device/region.h"
#include "format/hef.h"

namespace hotaru {

class CpuDevice final : public Device {
 public:
  static Result<std::unique_ptr<CpuDevice>> open(const std::string& hef_path, const DeviceOptions& options);

  [[nodiscard]] const DeviceInfo& info() const override { return info_; }
  Result<int> create_context() override;
  void destroy_context(int context) override { kv_.destroy_context(context); }
  void set_adapter(int context, int adapter) override;
  Result<void> reserve(int context, int first, int tokens) override { return kv_.reserve(context, first, tokens); }
  Result<void> share(int from, int to, int tokens) override;
  void truncate(int context, int tokens) override { kv_.truncate(context, tokens); }
  [[nodiscard]] int free_pages() const override { return kv_.free_pages(); }
  void read_page(int context, int page, std::span<std::byte> bytes) const override {
    kv_.read_page(context, page, bytes);
  }
  void write_page(int context, int page, std::span<const std::byte> bytes) override {
    kv_.write_page(context, page, bytes);
  }
  void step(std::span<const StepRow> rows) override;
  void compute_logits(std::span<const int32_t> rows) override;
  [[nodiscard]] std::span<const float> logits(int index) const override;
  void compute_hidden(std::span<const int32_t> rows) override;
  [[nodiscard]] std::span<const float> hidden(int index) const override;
  void start_profile() override;
  std::vector<CallProfile> stop_profile() override;
  MachineLimits measure_limits() override;

 private:
  CpuDevice(HefFile hef, std::unique_ptr<ThreadPool> pool, Isa isa);
  Result<void> set_up(const DeviceOptions& options);
  Result<void> plan_capacity(const DeviceOptions& options);
  void build_tables();
  const RopeTable& rope_table(int frequency_tensor, float attention_factor);  // made when first asked for
  void add_key_columns(const fb::AttentionCall& call);
  Result<void> plan_programs();
  // What kernels take of these rows; valid until the next call.
  StepInputs inputs_of(std::span<const StepRow> rows);
  void find_adapter_runs(std::span<const StepRow> rows);
  void play_head(std::span<const int32_t> rows, size_t steps);
  Result<void> check_budget(const DeviceOptions& options);
  Result<void> allocate();
  // Of the context and of the prefix tokens before it.
  [[nodiscard]] size_t positions() const { return static_cast<size_t>(info_.context_tokens) + info_.prefix.size(); }
  void play_on_all_threads(const PlannedProgram& program, const StepInputs& inputs, size_t steps);
  void find_final_norm();
  void give_back_embedding() const;
  [[nodiscard]] std::span<const std::byte> layer_weights() const;

  HefFile hef_;
  std::unique_ptr<ThreadPool> pool_;
  const KernelSet* kernels_;
  DeviceInfo info_;
  int page_count_ = 0;
  size_t workspace_bytes_ = 0;  // per thread
  Region arena_;
  Region workspace_;
  KvPool kv_;
  std::vector<RopeTable> rope_tables_;
  std::vector<KeyColumnTable> key_columns_;
  AdapterPlanner adapter_planner_;
  PlannedProgram prefill_, tbt_, head_;

  std::array<int, KvPool::kMaxContexts> adapter_of_{};  // by context

  // The step in progress; the job reads them on every thread.
  const PlannedProgram* playing_ = nullptr;
  StepInputs inputs_;
  SteppedJob job_;
  ProgramClock clock_;
  std::vector<int32_t> ids_, positions_;
  std::vector<std::byte* const*> pages_;
  std::vector<AdapterRun> adapter_runs_;
  std::vector<StepRow> last_rows_;  // of the last step
  std::vector<StepRow> head_rows_;  // those of them that the head plays
  int last_outputs_ = 0;
  size_t final_norm_ = 0;      // its call in head_
  std::vector<float> hidden_;  // [output_rows, hidden_width]
  int last_hidden_ = 0;
};

}  // namespace hotaru
