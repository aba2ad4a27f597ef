// A gated linear gives the bits of its two ops after each other, with every ISA's kernels and any number of threads.
#include "kernels/gated_linear/gated_linear.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <set>

#include "kernels/emulation/tested_kernels.h"
#include "kernels/gated_linear/gated_problem.h"

namespace hotaru {
namespace {

TEST(GatedLinear, GivesTheBitsOfItsTwoOps) {
  struct Case {
    int tokens, inputs, width;
    bool bias, is_wide;
  };
  // The last has pieces smaller than a slice: 2048 channels fit one piece at 32 rows.
  for (const Case& c :
       {Case{1, 64, 320, true, false}, Case{5, 32, 192, false, true}, Case{16, 32, 64, false, false},
        Case{33, 96, 192, true, false}, Case{17, 64, 128, false, true}, Case{40, 32, 2112, false, false}}) {
    GatedProblem problem({.tokens = c.tokens, .inputs = c.inputs, .outputs = 2 * c.width, .bias = c.bias}, c.is_wide,
                         7);
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
    if (!kernel.emulated) prepare_thread(kernel.isa);
    for (const Case& c : {Case{12, 32, 64, 1, false}, Case{16, 32, 64, 1, false}, Case{17, 1056, 64, 1, true},
                          Case{45, 96, 192, 2, true}, Case{70, 640, 128, 3, false}, Case{100, 1632, 64, 1, true},
                          Case{530, 64, 64, 1, false}}) {
      GatedProblem problem({.tokens = c.tokens, .inputs = c.inputs, .outputs = 2 * c.width, .bias = c.bias}, false, 7);
      EXPECT_EQ(problem.found(kernel.run, c.slices), problem.wanted())
          << kernel.how() << " T " << c.tokens << " K " << c.inputs << " F " << c.width;
      if (kernel.isa != Isa::kAmx) continue;
      EXPECT_EQ(problem.found_in_tiles(kernel.run, c.slices), problem.wanted())
          << kernel.how() << " T " << c.tokens << " K " << c.inputs << " F " << c.width;
    }
    if (!kernel.emulated) release_thread(kernel.isa);
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
