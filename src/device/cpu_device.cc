#include "device/cpu_device.h"

#include <unistd.h>

#include <algorithm>

#include "base/check.h"
#include "base/mapped_pages.h"
#include "base/size_text.h"
#include "device/machine_memory.h"
#include "format/model_hash.h"
#include "kernels/rope_table.h"

namespace hotaru {
namespace {

uint64_t arena_bytes(const fb::Hef& meta) {
  uint64_t bytes = 0;
  for (const fb::Program* program : *meta.programs()) {
    for (const fb::Buffer* buffer : *program->buffers()) {
      bytes = std::max(bytes, buffer->offset() + buffer->row_bytes() * buffer->rows());
    }
  }
  return bytes;
}

// Rows of one step at most: docs/decisions/0018. The 512-bit kernels unpack weights once for all of them, the others
// gain nothing by more.
int most_step_rows(Isa isa) { return isa == Isa::kAmx || isa == Isa::kAvx512Vnni ? 256 : 128; }

}  // namespace

uint64_t machine_memory_bytes() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(::sysconf(_SC_PAGE_SIZE));
}

Result<std::unique_ptr<Device>> Device::open(const std::string& hef_path, const DeviceOptions& options) {
  TRY_ASSIGN(std::unique_ptr<CpuDevice> device, CpuDevice::open(hef_path, options));
  return std::unique_ptr<Device>(std::move(device));
}

Result<int> find_adapter(const DeviceInfo& info, std::string_view name) {
  const auto found = std::find(info.adapters.begin(), info.adapters.end(), name);
  if (found != info.adapters.end()) return static_cast<int>(found - info.adapters.begin());
  if (info.adapters.empty()) {
    return make_error(ErrorKind::kNotFound, "there is no adapter '{}': the model has none", name);
  }
  return make_error(ErrorKind::kNotFound, "there is no adapter '{}'; there are: {}", name,
                    fmt::join(info.adapters, ", "));
}

Result<std::unique_ptr<CpuDevice>> CpuDevice::open(const std::string& hef_path, const DeviceOptions& options) {
  auto pool = std::make_unique<ThreadPool>(options.threads);
  HefOptions hef_options;
  hef_options.pool = pool.get();
  hef_options.verify_checksums = options.verify_checksums;
  TRY_ASSIGN(HefFile hef, HefFile::open(hef_path, hef_options));
  std::unique_ptr<CpuDevice> device(new CpuDevice(std::move(hef), std::move(pool), options.isa));
  if (auto done = device->set_up(options); !done) return at(hef_path, std::move(done).error());
  return device;
}

CpuDevice::CpuDevice(HefFile hef, std::unique_ptr<ThreadPool> pool, Isa isa)
    : hef_(std::move(hef)), pool_(std::move(pool)), kernels_(&kernel_set(isa)), adapter_planner_(hef_) {
  info_.isa = isa;
  info_.threads = pool_->size();
  job_.begin = [this](size_t step) {
    if (step % 2 == 0) clock_.begin_call(*playing_, inputs_, step / 2);
    return begin_step(*playing_, inputs_, step, info_.threads, info_.isa);
  };
  job_.play = [this](size_t step, Slice part, int thread) {
    prepare_thread(info_.isa);
    std::byte* workspace = workspace_.data() + static_cast<size_t>(thread) * workspace_bytes_;
    play_step(*playing_, inputs_, step, {kernels_, workspace, part});
    release_thread(info_.isa);
  };
}

Result<void> CpuDevice::set_up(const DeviceOptions& options) {
  TRY(plan_capacity(options));
  build_tables();
  TRY(plan_programs());
  TRY(check_budget(options));
  return allocate();
}

Result<void> CpuDevice::plan_capacity(const DeviceOptions& options) {
  const fb::Hef& meta = hef_.meta();
  const int wanted =
      options.context_tokens > 0 ? options.context_tokens : static_cast<int>(meta.kv()->context_tokens());
  if (wanted > kMaxAttentionContext) {
    return not_supported("a context of {} tokens; at most {} fit 32-bit attention sums", wanted, kMaxAttentionContext);
  }
  page_count_ = (wanted + kPageTokens - 1) / kPageTokens;
  info_.vocabulary = static_cast<int>(meta.shape()->vocabulary());
  info_.context_tokens = wanted;
  if (meta.prefix() != nullptr) info_.prefix.assign(meta.prefix()->begin(), meta.prefix()->end());
  info_.weight_bytes = hef_.weight_bytes();
  info_.page_tokens = kPageTokens;
  info_.page_bytes = meta.kv()->page_bytes();
  info_.pages = page_count_;
  info_.kv_bytes = static_cast<uint64_t>(page_count_) * meta.kv()->page_bytes();
  info_.model_hash = model_hash(hef_);
  for (const char* name : {"prefill", "tbt", "head"}) {
    if (hef_.find_program(name) == nullptr) return invalid("program '{}' is missing", name);
  }
  info_.prefill_rows = std::min(static_cast<int>(hef_.find_program("prefill")->max_rows()), most_step_rows(info_.isa));
  info_.decode_rows = static_cast<int>(hef_.find_program("tbt")->max_rows());
  info_.output_rows = static_cast<int>(hef_.find_program("head")->max_rows());
  if (meta.adapters() == nullptr) return {};
  for (const fb::Adapter* adapter : *meta.adapters()) {
    info_.adapters.push_back(adapter->name()->str());
    info_.adapter_hashes.push_back(adapter_hash(hef_, *adapter));
  }
  return {};
}

Result<void> CpuDevice::check_budget(const DeviceOptions& options) {
  uint64_t table_bytes = 0;
  for (const RopeTable& table : rope_tables_) table_bytes += 2 * table.cosine.size() * sizeof(float);
  for (const KeyColumnTable& table : key_columns_) {
    table_bytes += table.columns.pages.size() + table.columns.prefix.size() * sizeof(int16_t);
  }
  const uint64_t workspaces = workspace_bytes_ * static_cast<uint64_t>(pool_->size());
  info_.activation_bytes = arena_.size() + table_bytes + workspaces;
  info_.adapter_bytes = adapter_planner_.vector_bytes();
  for (const Section& section : hef_.container().sections()) {
    if (section.type == SectionType::kAdapter) info_.adapter_bytes += section.length;
  }
  info_.total_bytes = info_.weight_bytes + info_.kv_bytes + info_.activation_bytes + info_.adapter_bytes;
  const uint64_t budget = options.memory_bytes > 0 ? options.memory_bytes : machine_memory_bytes();
  if (info_.total_bytes <= budget) return {};
  return make_error(
      ErrorKind::kNoMemory,
      "needs {} bytes of device memory ({} weights, {} KV cache, {} activations, {} adapters), available are {} bytes "
      "({})",
      info_.total_bytes, info_.weight_bytes, info_.kv_bytes, info_.activation_bytes, info_.adapter_bytes, budget,
      size_text(budget));
}

Result<void> CpuDevice::allocate() {
  TRY_ASSIGN(workspace_, Region::create(workspace_bytes_ * static_cast<size_t>(pool_->size()), RegionPages::kLarge));
  TRY_ASSIGN(kv_, KvPool::create(hef_.meta().kv()->page_bytes(), page_count_));
  const auto rows = static_cast<size_t>(std::max({info_.prefill_rows, info_.decode_rows, info_.output_rows}));
  ids_.resize(rows);
  positions_.resize(rows);
  pages_.resize(rows);
  adapter_runs_.reserve(rows);
  last_rows_.reserve(rows);
  head_rows_.reserve(static_cast<size_t>(info_.output_rows));
  hidden_.resize(static_cast<size_t>(info_.output_rows) * static_cast<size_t>(info_.hidden_width));
  give_back_embedding();
  return {};
}

// A token reads one row of it; opening the file may have read it all.
void CpuDevice::give_back_embedding() const {
  for (const fb::Call* call : *hef_.find_program("prefill")->calls()) {
    const fb::EmbedCall* embed = call->operation_as_EmbedCall();
    if (embed == nullptr) continue;
    const std::span<const std::byte> table = hef_.tensor_bytes(embed->table());
    const bool is_output_layer = std::ranges::any_of(head_.calls, [&table](const PlannedCall& head_call) {
      const auto* linear = std::get_if<LinearInt8Args>(&head_call);
      return linear != nullptr && reinterpret_cast<const std::byte*>(linear->weight) == table.data();
    });
    if (!is_output_layer) drop_mapped_pages(table);
  }
}

const RopeTable& CpuDevice::rope_table(int frequency_tensor, float attention_factor) {
  const auto known = std::ranges::find_if(rope_tables_, [&](const RopeTable& table) {
    return table.frequency_tensor == frequency_tensor && table.attention_factor == attention_factor;
  });
  if (known != rope_tables_.end()) return *known;
  const size_t half = hef_.meta().shape()->head_width() / 2;
  RopeTable table{frequency_tensor, attention_factor, std::vector<float>(positions() * half),
                  std::vector<float>(positions() * half)};
  const auto* frequency = reinterpret_cast<const double*>(hef_.tensor_bytes(frequency_tensor).data());
  fill_rope_table({positions(), {frequency, half}, static_cast<double>(attention_factor)}, table.cosine.data(),
                  table.sine.data());
  return rope_tables_.emplace_back(std::move(table));
}

void CpuDevice::add_key_columns(const fb::AttentionCall& call) {
  const bool known = std::ranges::any_of(key_columns_, [&call](const KeyColumnTable& table) {
    return table.constants_tensor == call.key_constants() && table.frequency_tensor == call.frequency() &&
           table.attention_factor == call.attention_factor();
  });
  if (known) return;
  const size_t width = hef_.meta().shape()->head_width();
  const RopeTable& angles = rope_table(call.frequency(), call.attention_factor());
  const auto* constants = reinterpret_cast<const float*>(hef_.tensor_bytes(call.key_constants()).data());
  key_columns_.push_back({call.key_constants(), call.frequency(), call.attention_factor(),
                          make_bias_columns({positions(), width / 2, angles.cosine.data(), angles.sine.data()},
                                            {constants, constants + width}, info_.prefix.size())});
}

void CpuDevice::build_tables() {
  for (const fb::Program* program : *hef_.meta().programs()) {
    for (const fb::Call* call : *program->calls()) {
      if (const auto* rope = call->operation_as_RopeCall()) rope_table(rope->frequency(), rope->attention_factor());
      const auto* attention = call->operation_as_AttentionCall();
      if (attention != nullptr && attention->key_constants() >= 0) add_key_columns(*attention);
    }
  }
}

Result<void> CpuDevice::plan_programs() {
  // Addresses only: nothing is resident until it is used.
  TRY_ASSIGN(arena_, Region::create(arena_bytes(hef_.meta()), RegionPages::kOrdinary));
  const ProgramMemory memory{&hef_,
                             arena_.data(),
                             rope_tables_,
                             key_columns_,
                             page_count_ * kPageTokens,
                             static_cast<int>(info_.prefix.size()),
                             &adapter_planner_};
  TRY_ASSIGN(prefill_, plan_program(*hef_.find_program("prefill"), memory));
  TRY_ASSIGN(tbt_, plan_program(*hef_.find_program("tbt"), memory));
  TRY_ASSIGN(head_, plan_program(*hef_.find_program("head"), memory));
  find_final_norm();
  const size_t bytes = std::max({workspace_bytes(prefill_), workspace_bytes(tbt_), workspace_bytes(head_)});
  workspace_bytes_ = (bytes + 4095) / 4096 * 4096;
  return {};
}

// Right before the output layer.
void CpuDevice::find_final_norm() {
  if (head_.calls.size() < 2) return;
  final_norm_ = head_.calls.size() - 2;
  const auto* norm = std::get_if<RmsNormArgs>(&head_.calls[final_norm_]);
  if (norm != nullptr) info_.hidden_width = norm->width;
}

void CpuDevice::play_on_all_threads(const PlannedProgram& program, const StepInputs& inputs, size_t steps) {
  playing_ = &program;
  inputs_ = inputs;
  job_.steps = steps;
  pool_->run(job_);
  clock_.end();
}

void CpuDevice::start_profile() { clock_.start({&prefill_, &tbt_, &head_}); }
std::vector<CallProfile> CpuDevice::stop_profile() { return clock_.stop(); }

MachineLimits CpuDevice::measure_limits() { return hotaru::measure_limits(layer_weights(), info_.isa, *pool_); }

// From the first layer's to the last one's: what every token reads. The embedding's table lies before them.
std::span<const std::byte> CpuDevice::layer_weights() const {
  std::span<const std::byte> all;
  for (const PlannedCall& call : tbt_.calls) {
    const auto* linear = std::get_if<LinearInt4Args>(&call);
    if (linear == nullptr) continue;
    const auto* weight = reinterpret_cast<const std::byte*>(linear->weight);
    const auto* first = all.empty() ? weight : std::min(all.data(), weight);
    const size_t bytes = packed_int4_bytes(static_cast<size_t>(linear->outputs), static_cast<size_t>(linear->inputs));
    all = {first, std::max(all.data() + all.size(), weight + bytes)};
  }
  return all;
}

Result<int> CpuDevice::create_context() {
  TRY_ASSIGN(const int context, kv_.create_context());
  adapter_of_[static_cast<size_t>(context)] = kNoAdapter;
  return context;
}

void CpuDevice::set_adapter(int context, int adapter) {
  CHECK(kv_.is_open(context));
  CHECK(adapter >= kNoAdapter && adapter < static_cast<int>(info_.adapters.size()));
  adapter_of_[static_cast<size_t>(context)] = adapter;
}

Result<void> CpuDevice::share(int from, int to, int tokens) {
  CHECK_EQ(adapter_of_[static_cast<size_t>(from)], adapter_of_[static_cast<size_t>(to)]);
  kv_.share(from, to, tokens);
  return {};
}

// Neighbours with the same adapter go through it together.
void CpuDevice::find_adapter_runs(std::span<const StepRow> rows) {
  adapter_runs_.clear();
  for (int i = 0; i < static_cast<int>(rows.size()); i++) {
    const int adapter = adapter_of_[static_cast<size_t>(rows[static_cast<size_t>(i)].context)];
    if (adapter == kNoAdapter) continue;
    const bool goes_on =
        !adapter_runs_.empty() && adapter_runs_.back().adapter == adapter && adapter_runs_.back().end == i;
    if (!goes_on) adapter_runs_.push_back({adapter, i, i});
    adapter_runs_.back().end = i + 1;
  }
}

void CpuDevice::step(std::span<const StepRow> rows) {
  CHECK_LE(rows.size(), static_cast<size_t>(std::max(info_.prefill_rows, info_.decode_rows)));
  if (rows.empty()) return;
  for (const StepRow& row : rows) {
    CHECK(row.token >= 0 && row.token < info_.vocabulary);
    CHECK(kv_.is_open(row.context) && row.position >= 0 && row.position < info_.context_tokens);
    CHECK(kv_.owns(row.context, row.position));
  }
  last_rows_.assign(rows.begin(), rows.end());
  const PlannedProgram& program = std::cmp_less_equal(rows.size(), info_.decode_rows) ? tbt_ : prefill_;
  play_on_all_threads(program, inputs_of(rows), step_count(program));
}

StepInputs CpuDevice::inputs_of(std::span<const StepRow> rows) {
  for (size_t i = 0; i < rows.size(); i++) {
    ids_[i] = rows[i].token;
    positions_[i] = rows[i].position;
    pages_[i] = kv_.pages(rows[i].context);
  }
  find_adapter_runs(rows);
  return {.tokens = static_cast<int>(rows.size()),
          .id = ids_.data(),
          .position = positions_.data(),
          .pages = pages_.data(),
          .adapter_runs = adapter_runs_};
}

void CpuDevice::play_head(std::span<const int32_t> rows, size_t steps) {
  CHECK_LE(rows.size(), static_cast<size_t>(info_.output_rows));
  head_rows_.clear();
  for (const int32_t row : rows) {
    CHECK(row >= 0 && std::cmp_less(row, last_rows_.size()));
    const StepRow& stepped = last_rows_[static_cast<size_t>(row)];
    CHECK_GT(kv_.reserved_tokens(stepped.context), stepped.position);  // its keys are read
    head_rows_.push_back(stepped);
  }
  if (rows.empty()) return;
  StepInputs inputs = inputs_of(head_rows_);
  inputs.row = rows.data();
  play_on_all_threads(head_, inputs, steps);
}

void CpuDevice::compute_logits(std::span<const int32_t> rows) {
  last_outputs_ = static_cast<int>(rows.size());
  play_head(rows, step_count(head_));
}

std::span<const float> CpuDevice::logits(int index) const {
  CHECK(index >= 0 && index < last_outputs_);
  const auto vocabulary = static_cast<size_t>(info_.vocabulary);
  return {head_.logits + static_cast<size_t>(index) * vocabulary, vocabulary};
}

void CpuDevice::compute_hidden(std::span<const int32_t> rows) {
  CHECK_GT(info_.hidden_width, 0);
  last_outputs_ = 0;
  last_hidden_ = static_cast<int>(rows.size());
  play_head(rows, 2 * (final_norm_ + 1));
  const auto& norm = std::get<RmsNormArgs>(head_.calls[final_norm_]);
  for (size_t i = 0; i < rows.size() * static_cast<size_t>(norm.width); i++) {
    const int high = norm.output.high == nullptr ? 0 : norm.output.high[i];
    hidden_[i] = (static_cast<float>(256 * high + norm.output.low[i]) - norm.zero_point) / norm.inverse_scale;
  }
}

std::span<const float> CpuDevice::hidden(int index) const {
  CHECK(index >= 0 && index < last_hidden_);
  const auto width = static_cast<size_t>(info_.hidden_width);
  return std::span(hidden_).subspan(static_cast<size_t>(index) * width, width);
}

}  // namespace hotaru
