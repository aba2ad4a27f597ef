// Every linear kernel of the lists against ref, byte for byte.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <set>

#include "kernels/emulation/tested_kernels.h"
#include "kernels/kernel_set.h"
#include "kernels/linear_problem.h"

namespace hotaru {
namespace {

std::string shape_text(const LinearShape& shape, int slices) {
  return fmt::format("T {} K {} N {} bias {} residual {} fill {} slices {}", shape.tokens, shape.inputs, shape.outputs,
                     shape.bias, shape.add_to_output, static_cast<int>(shape.fill), slices);
}

void expect_same_bytes(const std::vector<float>& found, const std::vector<float>& wanted, int outputs) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < found.size(); i++) {
    ASSERT_EQ(std::memcmp(&found[i], &wanted[i], sizeof(float)), 0)
        << "token " << i / static_cast<size_t>(outputs) << " row " << i % static_cast<size_t>(outputs) << ": got "
        << found[i] << ", want " << wanted[i];
  }
}

LinearShape random_shape(std::mt19937_64& random, int index) {
  const auto below = [&](uint64_t limit) { return static_cast<int>(random() % limit); };
  LinearShape shape;
  shape.tokens = 1 + (index % 2 == 0 ? below(9) : below(70));
  shape.inputs = 32 * (1 + (index % 3 == 0 ? below(32) : below(6)));
  shape.outputs = 1 + below(130);
  shape.bias = below(2) == 1;
  shape.add_to_output = below(2) == 1;
  if (index % 4 == 1) shape.fill = static_cast<Fill>(below(4));
  return shape;
}

template <typename Problem>
void compare_with_ref(const TestedKernel<typename Problem::Args>& kernel,
                      void (*ref)(const typename Problem::Args&, Slice), const LinearShape& shape, int slices) {
  SCOPED_TRACE(kernel.how() + " " + shape_text(shape, slices));
  const Problem problem(shape, static_cast<uint64_t>(shape.tokens * 1000 + shape.outputs));
  expect_same_bytes(run_linear(problem, kernel.run, slices), run_linear(problem, ref, 1), shape.outputs);
}

template <typename Problem>
void test_op(void (*ref)(const typename Problem::Args&, Slice)) {
  for (const auto& kernel : tested_kernels<typename Problem::Args>()) {
    if (!kernel.emulated) prepare_thread(kernel.isa);
    std::mt19937_64 random(7);
    const int shapes = kernel.emulated ? 80 : 300;
    for (int i = 0; i < shapes && !::testing::Test::HasFatalFailure(); i++) {
      compare_with_ref<Problem>(kernel, ref, random_shape(random, i), 1 + i % 4);
    }
    if (!kernel.emulated) release_thread(kernel.isa);
    fmt::print("{}\n", kernel.how());
  }
}

template <typename Problem>
void test_extremes(void (*ref)(const typename Problem::Args&, Slice)) {
  for (const auto& kernel : tested_kernels<typename Problem::Args>()) {
    if (!kernel.emulated) prepare_thread(kernel.isa);
    for (const Fill fill : {Fill::kZero, Fill::kHighest, Fill::kLowest}) {
      for (const int tokens : {1, 4, 7, 8, 9, 16, 33}) {
        compare_with_ref<Problem>(kernel, ref, {tokens, 1024 + 32, 50, false, false, fill}, 2);
      }
    }
    if (!kernel.emulated) release_thread(kernel.isa);
  }
}

// More tokens, inputs and outputs than a kernel takes at once: 230 and 129 tokens are several blocks with a rest, 1312
// and 2080 inputs several panels with half a tile left; 64 tokens of 20992 inputs a block of tokens for each of two
// threads; 4203 outputs more than two times as many sums as wait for their scales.
template <typename Problem>
void test_large(void (*ref)(const typename Problem::Args&, Slice)) {
  for (const auto& kernel : tested_kernels<typename Problem::Args>()) {
    if (!kernel.emulated) prepare_thread(kernel.isa);
    compare_with_ref<Problem>(kernel, ref, {230, 96, 37, true, true, Fill::kRandom}, 1);
    compare_with_ref<Problem>(kernel, ref, {225, 64, 16, false, true, Fill::kRandom}, 1);
    compare_with_ref<Problem>(kernel, ref, {40, 2080, 40, true, false, Fill::kRandom}, 2);
    compare_with_ref<Problem>(kernel, ref, {129, 1312, 20, true, true, Fill::kRandom}, 1);
    for (const int slices : {2, 3}) compare_with_ref<Problem>(kernel, ref, {64, 20992, 20, true, true}, slices);
    compare_with_ref<Problem>(kernel, ref, {520, 2720, 50, true, true}, 2);
    for (const int tokens : {1, 2, 7, 24}) {
      compare_with_ref<Problem>(kernel, ref, {tokens, 32, 4203, true, true, Fill::kRandom}, 1);
    }
    if (!kernel.emulated) release_thread(kernel.isa);
  }
}

// Every number of tokens: each is another mix of whole chunks and a rest, streamed or unpacked.
template <typename Problem>
void test_token_counts(void (*ref)(const typename Problem::Args&, Slice)) {
  for (const auto& kernel : tested_kernels<typename Problem::Args>()) {
    if (!kernel.emulated) prepare_thread(kernel.isa);
    for (int tokens = 1; tokens <= 200; tokens += kernel.emulated && tokens > 33 ? 7 : 1) {
      const auto fill = static_cast<Fill>(tokens % 4);
      compare_with_ref<Problem>(kernel, ref, {tokens, 96, 33, tokens % 2 == 0, tokens % 3 == 0, fill}, 1 + tokens % 4);
    }
    if (!kernel.emulated) release_thread(kernel.isa);
  }
}

TEST(Linear, Int4EveryTokenCountEqualsRef) { test_token_counts<LinearInt4Problem>(linear_int4_ref); }
TEST(Linear, Int8EveryTokenCountEqualsRef) { test_token_counts<LinearInt8Problem>(linear_int8_ref); }
TEST(Linear, Int4KernelsEqualRef) { test_op<LinearInt4Problem>(linear_int4_ref); }
TEST(Linear, Int8KernelsEqualRef) { test_op<LinearInt8Problem>(linear_int8_ref); }
TEST(Linear, Int4ExtremesEqualRef) { test_extremes<LinearInt4Problem>(linear_int4_ref); }
TEST(Linear, Int8ExtremesEqualRef) { test_extremes<LinearInt8Problem>(linear_int8_ref); }

TEST(Linear, Int4LargeShapesEqualRef) { test_large<LinearInt4Problem>(linear_int4_ref); }
TEST(Linear, Int8LargeShapesEqualRef) { test_large<LinearInt8Problem>(linear_int8_ref); }

TEST(Linear, RefIsTheFormula) {
  const int8_t codes[64] = {-8, 7, 3};     // [2 rows, 32]
  const uint8_t multipliers[2] = {15, 1};  // [2, 1]
  const uint8_t input[32] = {255, 10, 2};  // [1, 32]
  const int32_t offset[2] = {30540, -1};   // acc = offset + 15 * (-2040 + 70 + 6), offset + 0
  const float scale[2] = {0.5F, 2.0F}, bias[2] = {0.25F, 1.0F};
  std::vector<uint8_t> weight(packed_int4_bytes(2, 32));
  pack_int4(codes, multipliers, 2, 32, weight.data());
  std::vector<std::byte> workspace(linear_workspace_bytes(1, 32));
  float output[2] = {100.0F, 200.0F};
  linear_int4_ref({.tokens = 1,
                   .inputs = 32,
                   .outputs = 2,
                   .input = input,
                   .weight = weight.data(),
                   .offset = offset,
                   .scale = scale,
                   .bias = bias,
                   .output = output,
                   .add_to_output = true,
                   .workspace = workspace.data()},
                  Slice{});
  EXPECT_EQ(output[0], 100.0F + (30540.0F + 15 * (-2040 + 70 + 6)) * 0.5F + 0.25F);
  EXPECT_EQ(output[1], 200.0F + -1.0F * 2.0F + 1.0F);
}

// Activations in token tiles, as a gated linear leaves them; the cases of more tokens than one block are those of
// test_large. What lies beyond the last token is anything.
TEST(Linear, TokenTilesAreRowsInAnotherOrder) {
  for (const auto& kernel : tested_kernels<LinearInt4Args>()) {
    if (kernel.isa != Isa::kAmx) continue;
    if (!kernel.emulated) prepare_thread(kernel.isa);
    for (const LinearShape& shape :
         {LinearShape{12, 64, 33, true, true}, LinearShape{16, 128, 16}, LinearShape{50, 1600, 70, false, true},
          LinearShape{64, 20992, 20, true, true}, LinearShape{520, 2752, 50, true, true}}) {
      const LinearInt4Problem problem(shape, 7);
      const auto tokens = static_cast<size_t>(shape.tokens);
      const auto inputs = static_cast<size_t>(shape.inputs);
      AlignedArray<uint8_t> tiles(padded_tokens(tokens) * inputs);
      std::fill_n(tiles.data(), tiles.size(), uint8_t{201});
      for (size_t t = 0; t < tokens; t++) {
        for (size_t k = 0; k < inputs; k++) {
          tiles.data()[token_tile_index(t, k, inputs)] = problem.buffers.input.data()[t * inputs + k];
        }
      }
      AlignedArray<std::byte> workspace = linear_workspace(shape);
      const AlignedArray<float>& initial = problem.buffers.initial_output;
      std::vector<float> output(initial.data(), initial.data() + initial.size());
      for (const int slice : {0, 1}) {
        LinearInt4Args args = problem.args(output.data(), workspace.data());
        args.input = tiles.data();
        args.is_tiled = true;
        kernel.run(args, Slice{slice, 2});
      }
      SCOPED_TRACE(kernel.how() + " " + shape_text(shape, 2));
      expect_same_bytes(output, run_linear(problem, linear_int4_ref, 1), shape.outputs);
    }
    if (!kernel.emulated) release_thread(kernel.isa);
  }
}

// Says on which ISAs the machine could prove what.
TEST(Linear, ListsWhatRan) {
  for (const Isa isa : compiled_isas()) {
    if (isa_available(isa)) continue;
    std::string name(isa_name(isa));
    std::ranges::transform(name, name.begin(), [](char c) { return static_cast<char>(std::toupper(c)); });
    fmt::print("not run: no {} (its kernels ran emulated)\n", name);
  }
  for (const Isa isa : available_isas()) {
    EXPECT_NE(kernel_set(isa).linear_int4, nullptr);
    EXPECT_NE(kernel_set(isa).linear_int8, nullptr);
    EXPECT_EQ(kernel_set(isa).isa, isa);
  }
}

}  // namespace
}  // namespace hotaru
