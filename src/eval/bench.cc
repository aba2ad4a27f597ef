#include "eval/bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "genai/sampler.h"

namespace hotaru {
namespace {

using Clock = std::chrono::steady_clock;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

MachineLimits median_of(const std::vector<MachineLimits>& limits) {
  std::vector<double> reads, products;
  for (const MachineLimits& some : limits) {
    reads.push_back(some.read_bytes_per_second);
    products.push_back(some.multiply_adds_per_second);
  }
  return {median(std::move(reads)), median(std::move(products))};
}

// What a greedy reply finds its tokens with.
Sampler greedy_sampler(const Device& device) {
  SamplingParams params;
  params.temperature = 0;
  return {params, device.info().vocabulary};
}

// A context that is given back when the measurement ends.
class BenchContext {
 public:
  static Result<BenchContext> create(Device& device) {
    TRY_ASSIGN(const int id, device.create_context());
    return BenchContext(&device, id);
  }
  BenchContext(BenchContext&& other) noexcept : device_(std::exchange(other.device_, nullptr)), id_(other.id_) {}
  BenchContext& operator=(BenchContext&&) = delete;
  ~BenchContext() {
    if (device_ != nullptr) device_->destroy_context(id_);
  }
  [[nodiscard]] int id() const { return id_; }

  // Stores `count` arbitrary tokens behind the `begin` already there.
  Result<void> prefill(int begin, int count) const {
    TRY(device_->reserve(id_, begin, begin + count));
    std::vector<StepRow> rows;
    for (int done = 0; done < count; done += static_cast<int>(rows.size())) {
      rows.clear();
      for (int i = done; i < std::min(count, done + device_->info().prefill_rows); i++) {
        rows.push_back({(i * 7919 + 13) % device_->info().vocabulary, begin + i, id_});
      }
      device_->step(rows);
    }
    const auto last = static_cast<int32_t>(rows.empty() ? 0 : rows.size() - 1);
    if (count > 0) device_->compute_logits(std::span(&last, 1));
    return {};
  }

 private:
  BenchContext(Device* device, int id) : device_(device), id_(id) {}
  Device* device_;
  int id_;
};

Result<double> time_to_first_token(Device& device, int prompt) {
  TRY_ASSIGN(const BenchContext context, BenchContext::create(device));
  Sampler sampler = greedy_sampler(device);
  const auto start = Clock::now();
  TRY(context.prefill(0, prompt));
  sampler.sample(device.logits(0));
  return milliseconds_since(start);
}

struct DecodeLoad {
  int depth, context_count, steps;
};

// Milliseconds of every step in which all contexts decode one token each, behind `depth` tokens.
Result<std::vector<double>> decode_times(Device& device, const DecodeLoad& load, bool profiled) {
  const auto& [depth, context_count, steps] = load;
  std::vector<BenchContext> contexts;
  Sampler sampler = greedy_sampler(device);  // of all: without penalties it knows nothing of a text
  std::vector<StepRow> rows;
  std::vector<int32_t> outputs(static_cast<size_t>(context_count));
  std::iota(outputs.begin(), outputs.end(), 0);
  for (int i = 0; i < context_count; i++) {
    TRY_ASSIGN(BenchContext context, BenchContext::create(device));
    TRY(context.prefill(0, depth));
    TRY(device.reserve(context.id(), depth, depth + steps));
    rows.push_back({i + 1, depth, context.id()});
    contexts.push_back(std::move(context));
  }
  if (profiled) device.start_profile();
  std::vector<double> times;
  for (int step = 0; step < steps; step++) {
    const auto start = Clock::now();
    device.step(rows);
    device.compute_logits(outputs);
    for (size_t i = 0; i < rows.size(); i++) {
      rows[i].token = sampler.sample(device.logits(static_cast<int>(i)));
      rows[i].position++;
    }
    times.push_back(milliseconds_since(start));
  }
  return times;
}

}  // namespace

Result<BenchReport> run_bench(Device& device, const BenchOptions& options,
                              const std::function<void(int, int)>& on_step) {
  BenchReport report;
  const DeviceInfo& info = device.info();
  const int total =
      options.repeat * static_cast<int>(options.prompts.size() + options.depths.size() + options.contexts.size());
  int done = 0;
  TRY(time_to_first_token(device, std::min(8, info.context_tokens)));  // touches every page of the weights once
  std::vector<MachineLimits> all_limits;
  // The median of what `measure` gives for every repetition; the first one is profiled.
  const auto repeat = [&](const std::string& name, int tokens, auto measure) -> Result<double> {
    std::vector<double> times;
    std::vector<MachineLimits> limits = {device.measure_limits()};
    for (int i = 0; i < options.repeat; i++) {
      TRY_ASSIGN(const std::vector<double> some, measure(i == 0));
      if (i == 0) report.phases.push_back({name, tokens, static_cast<int>(some.size()), 0, {}, device.stop_profile()});
      limits.push_back(device.measure_limits());
      times.insert(times.end(), some.begin(), some.end());
      on_step(++done, total);
    }
    all_limits.insert(all_limits.end(), limits.begin(), limits.end());
    report.phases.back().limits = median_of(limits);
    return report.phases.back().ms = median(times);
  };
  for (const int prompt : options.prompts) {
    if (prompt > info.context_tokens) continue;
    const auto measure = [&](bool profiled) -> Result<std::vector<double>> {
      if (profiled) device.start_profile();
      TRY_ASSIGN(const double time, time_to_first_token(device, prompt));
      return std::vector<double>{time};
    };
    TRY_ASSIGN(report.ttft_ms[prompt], repeat(fmt::format("first token after {}", prompt), prompt, measure));
  }
  for (const int depth : options.depths) {
    if (depth + options.decode_steps > info.context_tokens) continue;
    const auto measure = [&](bool profiled) {
      return decode_times(device, {depth, 1, options.decode_steps}, profiled);
    };
    TRY_ASSIGN(report.decode_ms[depth], repeat(fmt::format("token at depth {}", depth), 1, measure));
  }
  for (const int count : options.contexts) {
    if (count > info.decode_rows) continue;
    const auto measure = [&](bool profiled) {
      return decode_times(device, {0, count, options.decode_steps}, profiled);
    };
    TRY_ASSIGN(const double ms, repeat(fmt::format("token of {} contexts", count), count, measure));
    report.aggregate_tokens_per_second[count] = count * 1e3 / ms;
  }
  if (!all_limits.empty()) report.limits = median_of(all_limits);
  return report;
}

}  // namespace hotaru
