// The linear kernels at the shapes of Qwen2-1.5B. GB/s counts weight bytes, GOPS two operations a multiply-add.
// Weights cycle through more memory than the caches hold, as they do in a model.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <functional>

#include "base/thread_pool.h"
#include "kernels/kernel_list.h"
#include "kernels/linear_problem.h"

namespace hotaru {
namespace {

struct BenchShape {
  const char* name;
  int inputs, outputs;
};
constexpr BenchShape kInt4Shapes[] = {
    {"qkv", 1536, 2048}, {"attention_out", 1536, 1536}, {"gate_up", 1536, 17920}, {"down", 8960, 1536}};
constexpr BenchShape kInt8Shapes[] = {{"head", 1536, 151936}};
constexpr int kTokens[] = {1, 4, 8, 96, 512};
constexpr size_t kColdBytes = size_t{256} << 20;

ThreadPool& pool() {
  static ThreadPool threads;
  return threads;
}

template <typename Args>
using Kernel = std::function<void(const Args&, Slice)>;

template <typename Args, typename Weight>
void run(benchmark::State& state, const Kernel<Args>& kernel, Args args, Isa isa) {
  const size_t bytes = sizeof(Args) == sizeof(LinearInt4Args)
                           ? packed_int4_bytes(static_cast<size_t>(args.outputs), static_cast<size_t>(args.inputs))
                           : packed_int8_bytes(static_cast<size_t>(args.outputs), static_cast<size_t>(args.inputs));
  const size_t copies = std::max<size_t>(1, kColdBytes / bytes);
  AlignedArray<Weight> weight(bytes * copies);
  std::mt19937_64 random(1);
  std::generate_n(weight.data(), weight.size(), [&] { return static_cast<Weight>(random() & 15); });
  const auto tokens = static_cast<size_t>(args.tokens);
  const auto outputs = static_cast<size_t>(args.outputs);
  AlignedArray<uint8_t> input(tokens * static_cast<size_t>(args.inputs));
  AlignedArray<int32_t> offset(outputs);
  AlignedArray<float> scale(outputs), output(tokens * outputs);
  const size_t workspace_bytes = linear_workspace_bytes(args.tokens, args.inputs) + 4096;
  AlignedArray<std::byte> workspace(workspace_bytes / 64 * 64 * static_cast<size_t>(pool().size()));
  args.input = input.data();
  args.offset = offset.data();
  args.scale = scale.data();
  args.output = output.data();
  size_t copy = 0;
  for (auto _ : state) {
    args.weight = weight.data() + copy * bytes;
    copy = (copy + 1) % copies;
    pool().run([&](Slice slice) {
      prepare_thread(isa);
      Args mine = args;
      mine.workspace = workspace.data() + static_cast<size_t>(slice.index) * (workspace_bytes / 64 * 64);
      kernel(mine, slice);
      release_thread(isa);
    });
  }
  const double iterations = static_cast<double>(state.iterations());
  const double operations = 2.0 * static_cast<double>(args.tokens) * args.inputs * args.outputs;
  state.counters["GB/s"] =
      benchmark::Counter(static_cast<double>(bytes) * iterations / 1e9, benchmark::Counter::kIsRate);
  state.counters["GOPS"] = benchmark::Counter(operations * iterations / 1e9, benchmark::Counter::kIsRate);
}

void add(const char* kernel_name, const BenchShape& shape, const std::function<void(benchmark::State&, int)>& body,
         int least_tokens = 1) {
  for (const int tokens : kTokens) {
    if (tokens < least_tokens) continue;
    const std::string name =
        fmt::format("{}/{}/{}x{}/T{}", kernel_name, shape.name, shape.inputs, shape.outputs, tokens);
    benchmark::RegisterBenchmark(name.c_str(), [body, tokens](benchmark::State& state) { body(state, tokens); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  }
}

void add_kernel(const char* name, Isa isa, void (*kernel)(const LinearInt4Args&, Slice)) {
  for (const BenchShape& shape : kInt4Shapes) {
    add(name, shape, [=](benchmark::State& state, int tokens) {
      const LinearInt4Args args{.tokens = tokens, .inputs = shape.inputs, .outputs = shape.outputs};
      run<LinearInt4Args, uint8_t>(state, kernel, args, isa);
    });
  }
}

void add_kernel(const char* name, Isa isa, void (*kernel)(const LinearInt8Args&, Slice)) {
  for (const BenchShape& shape : kInt8Shapes) {
    add(name, shape, [=](benchmark::State& state, int tokens) {
      const LinearInt8Args args{.tokens = tokens, .inputs = shape.inputs, .outputs = shape.outputs};
      run<LinearInt8Args, int8_t>(state, kernel, args, isa);
    });
  }
}

// Gates and values, and the codes of their products.
void add_kernel(const char* name, Isa isa, GatedLinearKernel kernel) {
  constexpr BenchShape kShape = kInt4Shapes[2];
  constexpr size_t kWidth = kShape.outputs / 2;
  add(
      name, kShape,
      [=](benchmark::State& state, int tokens) {
        AlignedArray<uint8_t> codes(static_cast<size_t>(tokens) * kWidth);
        const SwiGluArgs swiglu{.tokens = tokens,
                                .width = kWidth,
                                .inverse_scale = 1,
                                .output = {codes.data(), nullptr},
                                .output_stride = kWidth};
        const auto play = [&](const LinearInt4Args& linear, Slice slice) { kernel({linear, swiglu}, slice); };
        const LinearInt4Args args{.tokens = tokens, .inputs = kShape.inputs, .outputs = kShape.outputs};
        run<LinearInt4Args, uint8_t>(state, play, args, isa);
      },
      kGatedKernelTokens);
}

void add_available_kernels() {
#define HOTARU_KERNEL(op, isa) \
  if (isa_available(isa_of_kernel::isa)) add_kernel(#op "_" #isa, isa_of_kernel::isa, op##_##isa);
#include "kernels/gated_linear/kernels.inc"
#include "kernels/linear_int4/kernels.inc"
#include "kernels/linear_int8/kernels.inc"
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
