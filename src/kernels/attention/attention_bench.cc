// Attention at the shape of Qwen2-1.5B (12 query and 2 kv heads of 128), one layer: decode of one token at several
// context lengths (pages cycle through more memory than the caches hold, as the layers of a model do) and whole
// prefills. GMAC/s counts the products that causality leaves: two per key, channel and query head.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "base/thread_pool.h"
#include "kernels/attention/attention_problem.h"
#include "kernels/kernel_list.h"

namespace hotaru {
namespace {

constexpr size_t kColdBytes = size_t{192} << 20;

ThreadPool& pool() {
  static ThreadPool threads;
  return threads;
}

struct BenchCase {
  const char* name;
  int first_position;
  int rows;
};
constexpr BenchCase kCases[] = {{"decode/0", 0, 1},    {"decode/512", 512, 1},  {"decode/2000", 2000, 1},
                                {"prefill/96", 0, 96}, {"prefill/512", 0, 512}, {"prefill/2048", 0, 2048}};

void run(benchmark::State& state, const BenchCase& of, AttentionKernel kernel, Isa isa) {
  const AttentionShape shape{
      .query_heads = 12, .kv_heads = 2, .head_width = 128, .contexts = {{of.first_position, of.rows}}};
  const size_t context_bytes = static_cast<size_t>(shape.max_context() + kPageTokens) * 512;
  const size_t copies = of.rows == 1 ? kColdBytes / context_bytes / 16 + 1 : 1;
  std::vector<std::unique_ptr<AttentionProblem>> layers;
  for (size_t i = 0; i < copies; i++) layers.push_back(std::make_unique<AttentionProblem>(shape, i));
  AlignedArray<uint8_t> output(layers[0]->elements());
  const size_t workspace_bytes = (layers[0]->workspace_bytes() + 4095) / 64 * 64;
  AlignedArray<std::byte> workspace(workspace_bytes * static_cast<size_t>(pool().size()));
  size_t layer = 0;
  for (auto _ : state) {
    pool().run([&](Slice slice) {
      prepare_thread(isa);
      std::byte* mine = workspace.data() + static_cast<size_t>(slice.index) * workspace_bytes;
      kernel(layers[layer]->args(output.data(), mine), slice);
      release_thread(isa);
    });
    layer = (layer + 1) % copies;
  }
  const double keys = of.rows * (of.first_position + (of.rows + 1) / 2.0);
  const double iterations = static_cast<double>(state.iterations());
  state.counters["GMAC/s"] = benchmark::Counter(keys * 12 * 128 * 2 * iterations / 1e9, benchmark::Counter::kIsRate);
}

void add_kernel(const char* kernel_name, Isa isa, AttentionKernel kernel) {
  for (const BenchCase& of : kCases) {
    benchmark::RegisterBenchmark(fmt::format("{}/{}", kernel_name, of.name).c_str(),
                                 [=](benchmark::State& state) { run(state, of, kernel, isa); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
}

void add_available_kernels() {
#define HOTARU_KERNEL(op, isa) \
  if (isa_available(isa_of_kernel::isa)) add_kernel(#op "_" #isa, isa_of_kernel::isa, op##_##isa);
#include "kernels/attention/kernels.inc"
#undef HOTARU_KERNEL
}

}  // namespace
}  // namespace hotaru

int main(int argc, char** argv) {
  hotaru::add_available_kernels();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
