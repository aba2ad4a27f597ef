// A gated linear gives the bits of its two ops after each other, with every ISA's kernels and any number of threads.
#include "kernels/gated_linear/gated_linear.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "kernels/emulation/tested_kernels.h"
#include "kernels/kernel_list.h"
#include "kernels/kernel_set.h"
#include "kernels/linear_problem.h"

namespace hotaru {
namespace {

constexpr size_t kGap = 32;  // codes between rows that are not ours

class GatedProblem {
 public:
  GatedProblem(int tokens, int inputs, int width, bool bias, bool is_wide)
      : linear_({.tokens = tokens, .inputs = inputs, .outputs = 2 * width, .bias = bias}, 7),
        width_(width),
        is_wide_(is_wide),
        stride_(static_cast<size_t>(width) + kGap),
        floats_(linear_.buffers.initial_output.size()) {
    AlignedArray<float>& scale = linear_.buffers.scale;  // so that gates are neither shut nor open
    std::transform(scale.data(), scale.data() + scale.size(), scale.data(), [](float x) { return x * 1e-4F; });
  }

  [[nodiscard]] GatedLinearArgs args(AlignedArray<uint8_t>& codes, std::byte* workspace) {
    const SwiGluArgs swiglu{.tokens = linear_.shape.tokens,
                            .width = width_,
                            .inverse_scale = is_wide_ ? 400.0F : 2.0F,
                            .zero_point = is_wide_ ? 30000.0F : 99.0F,
                            .gate = floats_.data(),
                            .up = floats_.data() + width_,
                            .input_stride = static_cast<size_t>(width_) * 2,
                            .output = {codes.data(), is_wide_ ? codes.data() + codes.size() / 2 : nullptr},
                            .output_stride = stride_};
    return {linear_.args(floats_.data(), workspace), swiglu};
  }

  [[nodiscard]] std::vector<uint8_t> wanted() {
    AlignedArray<std::byte> workspace(linear_workspace_bytes(linear_.shape.tokens, linear_.shape.inputs));
    AlignedArray<uint8_t> codes = output();
    const GatedLinearArgs both = args(codes, workspace.data());
    linear_int4_ref(both.linear, Slice{});
    swiglu_ref(both.swiglu, Slice{});
    return {codes.data(), codes.data() + codes.size()};
  }

  [[nodiscard]] std::vector<uint8_t> found(const KernelSet& kernels, int slices) {
    AlignedArray<std::byte> workspace(gated_linear_workspace_bytes(linear_.shape.tokens, linear_.shape.inputs));
    AlignedArray<uint8_t> codes = output();
    for (int i = 0; i < slices; i++) {
      prepare_thread(kernels.isa);
      play_gated_linear(args(codes, workspace.data()), kernels, Slice{i, slices});
      release_thread(kernels.isa);
    }
    return {codes.data(), codes.data() + codes.size()};
  }

  [[nodiscard]] std::vector<uint8_t> found(const TestedKernel<GatedLinearArgs>& kernel, int slices) {
    AlignedArray<std::byte> workspace(linear_workspace_bytes(linear_.shape.tokens, linear_.shape.inputs));
    AlignedArray<uint8_t> codes = output();
    if (!kernel.emulated) prepare_thread(kernel.isa);
    for (int i = 0; i < slices; i++) kernel.run(args(codes, workspace.data()), Slice{i, slices});
    if (!kernel.emulated) release_thread(kernel.isa);
    return {codes.data(), codes.data() + codes.size()};
  }

 private:
  [[nodiscard]] AlignedArray<uint8_t> output() const {
    return AlignedArray<uint8_t>(2 * static_cast<size_t>(linear_.shape.tokens) * stride_);
  }

  LinearInt4Problem linear_;
  int width_;
  bool is_wide_;
  size_t stride_;
  AlignedArray<float> floats_;
};

TEST(GatedLinear, GivesTheBitsOfItsTwoOps) {
  struct Case {
    int tokens, inputs, width;
    bool bias, is_wide;
  };
  // The last has pieces smaller than a slice: 2048 channels fit one piece at 32 rows.
  for (const Case& c :
       {Case{1, 64, 320, true, false}, Case{5, 32, 192, false, true}, Case{16, 32, 64, false, false},
        Case{33, 96, 192, true, false}, Case{17, 64, 128, false, true}, Case{40, 32, 2112, false, false}}) {
    GatedProblem problem(c.tokens, c.inputs, c.width, c.bias, c.is_wide);
    const std::vector<uint8_t> wanted = problem.wanted();
    EXPECT_GT(std::set<uint8_t>(wanted.begin(), wanted.end()).size(), 20U) << "the case says nothing";
    for (const Isa isa : available_isas()) {
      for (const int slices : {1, 2, 5}) {
        EXPECT_EQ(problem.found(kernel_set(isa), slices), wanted)
            << isa_name(isa) << ", " << slices << " slices, T " << c.tokens << " F " << c.width;
      }
    }
  }
}

// A kernel of its own, also on machines that lack its ISA: tokens that fill no tile and several blocks of them, panels
// with half a tile left, slices with one line of codes and with many.
TEST(GatedLinear, KernelsEqualTheTwoOps) {
  struct Case {
    int tokens, inputs, width, slices;
    bool bias;
  };
  for (const auto& kernel : tested_kernels<GatedLinearArgs>()) {
    fmt::print("{}\n", kernel.how());
    for (const Case& c : {Case{16, 32, 64, 1, false}, Case{17, 1056, 64, 1, true}, Case{45, 96, 192, 2, true},
                          Case{70, 640, 128, 3, false}, Case{530, 64, 64, 1, false}}) {
      GatedProblem problem(c.tokens, c.inputs, c.width, c.bias, false);
      EXPECT_EQ(problem.found(kernel, c.slices), problem.wanted())
          << kernel.how() << " T " << c.tokens << " K " << c.inputs << " F " << c.width;
    }
  }
}

TEST(GatedLinear, IsNotEveryPairOfOps) {
  float floats[8];
  LinearInt4Args linear{.outputs = 128, .output = floats};
  SwiGluArgs swiglu{.width = 64, .gate = floats};
  EXPECT_TRUE(is_gated_linear(linear, swiglu));
  swiglu.gate = floats + 1;
  EXPECT_FALSE(is_gated_linear(linear, swiglu));
  swiglu = {.width = 32, .gate = floats};
  linear.outputs = 64;
  EXPECT_FALSE(is_gated_linear(linear, swiglu)) << "half a piece of channels";
  linear = {.outputs = 128, .output = floats, .add_to_output = true};
  swiglu.width = 64;
  EXPECT_FALSE(is_gated_linear(linear, swiglu)) << "the floats before count, too";
}

}  // namespace
}  // namespace hotaru
