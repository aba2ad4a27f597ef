#include "eval/context_costs.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>
#include <vector>

#include "genai/engine_core.h"

namespace hotaru {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kOwnTokens = 16;  // of a prompt that begins like another
constexpr int kDecodeSteps = 16;
constexpr int kRestores = 5;

double milliseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Plays an engine step by step, as its thread would.
class Bench {
 public:
  Bench(LanguageModel model, int tokens)
      : core_(std::move(model), {}, std::make_shared<EngineSignals>()), tokens_(tokens) {}

  Result<void> measure_prefill(ContextCosts& costs) {
    TRY_ASSIGN(context_, core_.create_context(kNoAdapter));
    GenerationRequest request = prompt(1, tokens_);
    request.context = context_;
    const auto start = Clock::now();
    TRY(core_.submit(request, 1));
    play_all([&](double ms) { costs.longest_chunk_ms = std::max(costs.longest_chunk_ms, ms); });
    costs.prefill_ms = milliseconds_since(start);
    return {};
  }

  Result<void> measure_file(const std::string& file, ContextCosts& costs) {
    costs.page_bytes = core_.state().kv_bytes_used;
    const auto start = Clock::now();
    TRY(core_.save_context(context_, file, ""));
    costs.save_ms = milliseconds_since(start);
    costs.file_bytes = std::filesystem::file_size(file);
    std::vector<double> times;
    for (int i = 0; i < kRestores; i++) {
      const auto begin = Clock::now();
      TRY_ASSIGN(const Engine::LoadedContext loaded, core_.load_context(file));
      times.push_back(milliseconds_since(begin));
      core_.destroy_context(loaded.context);
    }
    costs.restore_ms = median(std::move(times));
    return {};
  }

  Result<void> measure_fork(ContextCosts& costs) {
    const uint64_t before = core_.state().kv_bytes_used;
    const auto start = Clock::now();
    TRY_ASSIGN(const ContextId fork, core_.fork_context(context_));
    costs.fork_ms = milliseconds_since(start);
    costs.fork_bytes = core_.state().kv_bytes_used - before;
    for (const ContextId context : {context_, fork}) {
      GenerationRequest request;
      request.context = context;
      request.options.max_tokens = 2;  // of which one is stored
      TRY(core_.submit(request, 1));
    }
    play_all([](double) {});
    costs.parted_bytes = core_.state().kv_bytes_used - before;
    core_.destroy_context(fork);
    return {};
  }

  Result<void> measure_reuse(ContextCosts& costs) {
    GenerationRequest request = prompt(1, tokens_ - kOwnTokens);
    const GenerationRequest own = prompt(2, kOwnTokens);
    request.ids.insert(request.ids.end(), own.ids.begin(), own.ids.end());
    TRY_ASSIGN(const ContextId context, core_.create_context(kNoAdapter));
    request.context = context;
    const EngineState before = core_.state();
    const auto start = Clock::now();
    TRY(core_.submit(request, 1));
    play_all([](double) {});
    costs.reuse_ms = milliseconds_since(start);
    const EngineState after = core_.state();
    costs.reused_tokens = static_cast<int>(after.reused_tokens - before.reused_tokens);
    costs.reuse_bytes = after.kv_bytes_used - before.kv_bytes_used;
    core_.destroy_context(context);
    core_.destroy_context(context_);
    return {};
  }

  Result<void> measure_stall(ContextCosts& costs) {
    GenerationRequest request = prompt(3, 8);
    request.options.max_tokens = -1;
    TRY_ASSIGN(const auto reply, core_.submit(request, 1));
    const auto step = [&] {
      const auto start = Clock::now();
      core_.step();
      static_cast<void>(reply.front()->read(std::chrono::milliseconds(0)));
      return milliseconds_since(start);
    };
    step();
    std::vector<double> times;
    times.reserve(kDecodeSteps);
    for (int i = 0; i < kDecodeSteps; i++) times.push_back(step());
    costs.decode_ms = median(std::move(times));
    TRY_ASSIGN(const auto other, core_.submit(prompt(4, tokens_), 1));
    while (!other.front()->has_ended() && !reply.front()->has_ended()) {
      costs.longest_stall_ms = std::max(costs.longest_stall_ms, step());
    }
    core_.abort_all();
    return {};
  }

 private:
  [[nodiscard]] GenerationRequest prompt(int seed, int tokens) const {
    const int vocabulary = core_.model().device().info().vocabulary;
    GenerationRequest request;
    for (int64_t i = 0; i < tokens; i++) request.ids.push_back(static_cast<int32_t>((i * 7919 + seed) % vocabulary));
    request.options.max_tokens = 0;
    return request;
  }
  template <typename OnStep>
  void play_all(const OnStep& on_step) {
    while (true) {
      const auto start = Clock::now();
      if (!core_.step()) return;
      on_step(milliseconds_since(start));
    }
  }

  EngineCore core_;
  int tokens_;
  ContextId context_{};
};

}  // namespace

Result<ContextCosts> measure_context_costs(std::unique_ptr<Device> device, int tokens, const std::string& file) {
  const int most = (device->info().context_tokens - 64) / 2;
  if (tokens < 2 * kOwnTokens || tokens > most) {
    return invalid("context costs: got {} tokens, want {} to {}", tokens, 2 * kOwnTokens, most);
  }
  LanguageModel::Parts parts;
  parts.name = "bench";
  parts.device = std::move(device);
  TRY_ASSIGN(LanguageModel model, LanguageModel::from_parts(std::move(parts)));
  Bench bench(std::move(model), tokens);
  ContextCosts costs;
  costs.tokens = tokens;
  TRY(bench.measure_prefill(costs));
  TRY(bench.measure_file(file, costs));
  TRY(bench.measure_fork(costs));
  TRY(bench.measure_reuse(costs));
  TRY(bench.measure_stall(costs));
  return costs;
}

}  // namespace hotaru
