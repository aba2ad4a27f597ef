// The row-wise ops at the shape of Qwen2-1.5B (width 1536, ffn 8960, 12 query and 2 kv heads of 128), and the table of
// RoPE. items/s counts elements of the output.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cmath>
#include <functional>

#include "base/thread_pool.h"
#include "kernels/kernel_list.h"
#include "kernels/linear_problem.h"
#include "kernels/rope_table.h"

namespace hotaru {
namespace {

ThreadPool& pool() {
  static ThreadPool threads;
  return threads;
}

template <typename Args>
void play(benchmark::State& state, void (*kernel)(const Args&, Slice), const Args& args, size_t elements) {
  for (auto _ : state) {
    pool().run([&](Slice slice) { kernel(args, slice); });
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(elements));
}

AlignedArray<float> waves(size_t count) {
  AlignedArray<float> x(count);
  for (size_t i = 0; i < count; i++) x.data()[i] = std::sin(static_cast<float>(i % 10007)) * 4.0F;
  return x;
}

void run(benchmark::State& state, int tokens, void (*kernel)(const EmbedArgs&, Slice)) {
  constexpr size_t kVocabulary = 4096, kWidth = 1536;
  const AlignedArray<int8_t> table(packed_int8_bytes(kVocabulary, kWidth));
  const AlignedArray<float> scale(kVocabulary);
  AlignedArray<int32_t> id(static_cast<size_t>(tokens));
  for (size_t t = 0; t < id.size(); t++) id.data()[t] = static_cast<int32_t>(t * 997 % kVocabulary);
  AlignedArray<float> output(static_cast<size_t>(tokens) * kWidth);
  play(state, kernel, EmbedArgs{tokens, kWidth, id.data(), table.data(), scale.data(), output.data()}, output.size());
}

void run(benchmark::State& state, int tokens, void (*kernel)(const GatherArgs&, Slice)) {
  const AlignedArray<float> input = waves(static_cast<size_t>(tokens) * 1536);
  AlignedArray<int32_t> row(static_cast<size_t>(tokens));
  AlignedArray<float> output(input.size());
  play(state, kernel,
       GatherArgs{tokens, 1536 * sizeof(float), row.data(), reinterpret_cast<const std::byte*>(input.data()),
                  reinterpret_cast<std::byte*>(output.data())},
       output.size());
}

void run(benchmark::State& state, int tokens, void (*kernel)(const RmsNormArgs&, Slice)) {
  const AlignedArray<float> input = waves(static_cast<size_t>(tokens) * 1536);
  AlignedArray<uint8_t> output(input.size());
  play(state, kernel, RmsNormArgs{tokens, 1536, 1e-6F, 40.0F, 128.0F, input.data(), nullptr, {output.data()}},
       output.size());
}

void run(benchmark::State& state, int tokens, void (*kernel)(const SwiGluArgs&, Slice)) {
  const AlignedArray<float> input = waves(static_cast<size_t>(tokens) * 17920);
  AlignedArray<uint8_t> output(input.size() / 2);
  play(state, kernel,
       SwiGluArgs{tokens, 8960, 10.0F, 128.0F, input.data(), input.data() + 8960, 17920, {output.data()}, 8960},
       output.size());
}

std::vector<double> inverse_frequency() {
  std::vector<double> frequency;
  frequency.reserve(64);
  for (int j = 0; j < 64; j++) frequency.push_back(std::pow(1e6, -j / 64.0));
  return frequency;
}

void run(benchmark::State& state, int tokens, void (*kernel)(const RopeArgs&, Slice)) {
  constexpr size_t kSide = 2 * page_side_bytes(128);
  const auto rows = static_cast<size_t>(tokens);
  const AlignedArray<float> qkv = waves(rows * 2048);
  AlignedArray<float> cosine(rows * 64), sine(rows * 64), scale(12), zero_point(2);
  fill_rope_table({rows, inverse_frequency(), 1.0}, cosine.data(), sine.data());
  std::fill_n(scale.data(), scale.size(), 30.0F);
  AlignedArray<std::byte> storage((rows / kPageTokens + 1) * 2 * kSide);
  std::vector<std::byte*> pages;
  for (size_t at = 0; at < storage.size(); at += 2 * kSide) pages.push_back(storage.data() + at);
  const std::vector<std::byte* const*> row_pages(rows, pages.data());
  AlignedArray<int32_t> position(rows);
  for (size_t t = 0; t < rows; t++) position.data()[t] = static_cast<int32_t>(t);
  AlignedArray<int8_t> query(rows * 1536);
  const RopeArgs args{.tokens = tokens,
                      .query_heads = 12,
                      .kv_heads = 2,
                      .head_width = 128,
                      .qkv = qkv.data(),
                      .position = position.data(),
                      .cosine = cosine.data(),
                      .sine = sine.data(),
                      .query_inverse_scale = scale.data(),
                      .key_inverse_scale = scale.data(),
                      .key_zero_point = zero_point.data(),
                      .value_inverse_scale = scale.data(),
                      .value_zero_point = zero_point.data(),
                      .query = query.data(),
                      .pages = row_pages.data(),
                      .value_offset = kSide};
  play(state, kernel, args, qkv.size());
}

void rope_table(benchmark::State& state) {
  const std::vector<double> frequency = inverse_frequency();
  std::vector<float> cosine(2048 * 64), sine(2048 * 64);
  for (auto _ : state) {
    fill_rope_table({2048, frequency, 1.0}, cosine.data(), sine.data());
    benchmark::DoNotOptimize(cosine.data());
  }
  state.SetItemsProcessed(state.iterations() * 2048 * 64 * 2);
}

template <typename Args>
void add_kernel(const char* name, void (*kernel)(const Args&, Slice)) {
  for (const int tokens : {1, 96}) {
    const auto body = [=](benchmark::State& state) { run(state, tokens, kernel); };
    benchmark::RegisterBenchmark(fmt::format("{}/T{}", name, tokens).c_str(), body)
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

void add_available_kernels() {
#define HOTARU_KERNEL(op, isa) \
  if (isa_available(isa_of_kernel::isa)) add_kernel(#op "_" #isa, op##_##isa);
#include "kernels/rowwise/kernels.inc"
#undef HOTARU_KERNEL
  benchmark::RegisterBenchmark("rope_table/2048x64", rope_table)->Unit(benchmark::kMicrosecond);
}

}  // namespace
}  // namespace hotaru

int main(int argc, char** argv) {
  hotaru::add_available_kernels();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
