// A low-rank addition gives the same bits with every ISA's 8-bit kernel, any number of threads, and rows together or
// alone.
#include "kernels/low_rank.h"

#include <gtest/gtest.h>

#include "kernels/emulation/tested_kernels.h"
#include "kernels/kernel_set.h"
#include "kernels/linear_problem.h"
#include "kernels/packed.h"
#include "tensor/numerics.h"

namespace hotaru {
namespace {

struct LowRankShape {
  int tokens, inputs, rank, outputs;
  bool bias, is_16_bit;
};

struct LowRankProblem {
  LowRankProblem(const LowRankShape& of, uint64_t seed)
      : shape(of),
        values(seed, Fill::kRandom),
        input(size(of.tokens, of.inputs)),
        high(size(of.tokens, of.inputs)),
        down(packed_int8_bytes(size(of.rank, 1), size(of.inputs, 1))),
        up(packed_int8_bytes(size(of.outputs, 1), size(padded_rank(of.rank), 1))),
        down_codes(size(of.rank, of.inputs)),
        up_codes(size(of.outputs, padded_rank(of.rank))) {
    for (auto* plane : {&input, &high}) {
      std::generate_n(plane->data(), plane->size(),
                      [&] { return static_cast<uint8_t>(values.integer(0, 255, false)); });
    }
    for (int8_t& code : down_codes) code = static_cast<int8_t>(values.integer(-127, 127, true));
    for (size_t i = 0; i < up_codes.size(); i++) {
      const bool padding = i % size(padded_rank(of.rank), 1) >= size(of.rank, 1);
      up_codes[i] = static_cast<int8_t>(padding ? 0 : values.integer(-127, 127, true));
    }
    pack_int8(down_codes.data(), size(of.rank, 1), size(of.inputs, 1), down.data());
    pack_int8(up_codes.data(), size(of.outputs, 1), size(padded_rank(of.rank), 1), up.data());
    const auto fill = [&](auto& vector, int count, auto make) {
      for (int i = 0; i < count; i++) vector.push_back(make());
    };
    fill(down_offset, of.rank, [&] { return values.integer(-90000, 90000, true); });
    fill(high_offset, of.rank, [&] { return values.integer(-90000, 90000, true); });
    fill(down_scale, of.rank, [&] { return values.real() * 1e-4F; });
    for (const float scale : down_scale) high_scale.push_back(256.0F * scale);
    fill(up_offset, of.outputs, [&] { return values.integer(-90000, 90000, true); });
    fill(up_scale, of.outputs, [&] { return values.real() * 1e-3F; });
    fill(bias, of.outputs, [&] { return values.real(); });
  }
  static size_t size(int a, int b) { return static_cast<size_t>(a) * static_cast<size_t>(b); }

  [[nodiscard]] LowRankArgs args(float* output, std::byte* workspace) const {
    LowRankArgs args;
    args.tokens = shape.tokens;
    args.inputs = shape.inputs;
    args.rank = shape.rank;
    args.outputs = shape.outputs;
    args.stride = stride();
    args.input = input.data();
    args.high = shape.is_16_bit ? high.data() : nullptr;
    args.down = down.data();
    args.down_offset = down_offset.data();
    args.high_offset = high_offset.data();
    args.down_scale = down_scale.data();
    args.high_scale = high_scale.data();
    args.inverse_scale = 3.5F;
    args.zero_point = 117.0F;
    args.up = up.data();
    args.up_offset = up_offset.data();
    args.up_scale = up_scale.data();
    args.bias = shape.bias ? bias.data() : nullptr;
    args.output = output;
    args.workspace = workspace;
    return args;
  }
  [[nodiscard]] int stride() const { return shape.outputs + 7; }

  LowRankShape shape;
  RandomValues values;
  AlignedArray<uint8_t> input, high;
  AlignedArray<int8_t> down, up;
  std::vector<int8_t> down_codes, up_codes;
  std::vector<int32_t> down_offset, high_offset, up_offset;
  std::vector<float> down_scale, high_scale, up_scale, bias;
};

float initial(size_t i) { return static_cast<float>(i % 97) * 0.125F - 3.0F; }

// The formula of the header, value by value.
std::vector<float> by_formula(const LowRankProblem& p) {
  const auto at = [](const auto& codes, int row, int k, int width) {
    return codes[LowRankProblem::size(row, width) + static_cast<size_t>(k)];
  };
  const int rank = p.shape.rank;
  std::vector<float> y(LowRankProblem::size(p.shape.tokens, p.stride()));
  for (size_t i = 0; i < y.size(); i++) y[i] = initial(i);
  for (int t = 0; t < p.shape.tokens; t++) {
    std::vector<int> u;
    for (int r = 0; r < rank; r++) {
      const auto index = static_cast<size_t>(r);
      int32_t low = p.down_offset[index];
      int32_t high = p.high_offset[index];
      for (int k = 0; k < p.shape.inputs; k++) {
        const int code = at(p.down_codes, r, k, p.shape.inputs);
        low += code * p.input.data()[LowRankProblem::size(t, p.shape.inputs) + static_cast<size_t>(k)];
        high += code * p.high.data()[LowRankProblem::size(t, p.shape.inputs) + static_cast<size_t>(k)];
      }
      float h = static_cast<float>(low) * p.down_scale[index];
      if (p.shape.is_16_bit) h = static_cast<float>(high) * p.high_scale[index] + h;
      u.push_back(requantise_u8(h, 3.5F, 117.0F));
    }
    for (int n = 0; n < p.shape.outputs; n++) {
      const auto index = static_cast<size_t>(n);
      int32_t sum = p.up_offset[index];
      for (int r = 0; r < rank; r++) sum += u[static_cast<size_t>(r)] * at(p.up_codes, n, r, padded_rank(rank));
      float d = static_cast<float>(sum) * p.up_scale[index];
      if (p.shape.bias) d = d + p.bias[index];
      float& out = y[LowRankProblem::size(t, p.stride()) + index];
      out = out + d;
    }
  }
  return y;
}

std::vector<float> played(const LowRankProblem& p, LinearInt8Kernel kernel, int slices, bool row_by_row) {
  std::vector<float> y(LowRankProblem::size(p.shape.tokens, p.stride()));
  for (size_t i = 0; i < y.size(); i++) y[i] = initial(i);
  AlignedArray<std::byte> workspace(low_rank_workspace_bytes(p.shape.tokens, p.shape.inputs, p.shape.rank));
  const int rows = row_by_row ? 1 : p.shape.tokens;
  for (int first = 0; first < p.shape.tokens; first += rows) {
    for (int i = 0; i < slices; i++) {
      LowRankArgs args = p.args(y.data() + LowRankProblem::size(first, p.stride()), workspace.data());
      args.tokens = rows;
      args.input += LowRankProblem::size(first, p.shape.inputs);
      if (args.high != nullptr) args.high += LowRankProblem::size(first, p.shape.inputs);
      play_low_rank(args, kernel, {i, slices});
    }
  }
  return y;
}

const LowRankShape kShapes[] = {{1, 32, 1, 16, false, false},    {3, 64, 8, 40, true, false},
                                {8, 256, 16, 256, false, false}, {17, 96, 33, 600, true, false},
                                {5, 64, 4, 48, true, true},      {130, 64, 8, 530, false, true}};

TEST(LowRank, IsTheFormulaForEveryKernel) {
  std::vector<TestedKernel<LinearInt8Args>> kernels = tested_kernels<LinearInt8Args>();
  kernels.push_back({"linear_int8_ref", Isa::kRef, false, kernel_set(Isa::kRef).linear_int8});
  uint64_t seed = 1;
  for (const LowRankShape& shape : kShapes) {
    const LowRankProblem problem(shape, seed++);
    const std::vector<float> want = by_formula(problem);
    for (const auto& kernel : kernels) {
      SCOPED_TRACE(kernel.how() + ", rank " + std::to_string(shape.rank));
      if (!kernel.emulated) prepare_thread(kernel.isa);
      EXPECT_EQ(played(problem, kernel.run, 1, false), want);
      EXPECT_EQ(played(problem, kernel.run, 3, false), want);
      EXPECT_EQ(played(problem, kernel.run, 50, false), want);
      EXPECT_EQ(played(problem, kernel.run, 2, true), want);
      if (!kernel.emulated) release_thread(kernel.isa);
    }
  }
}

}  // namespace
}  // namespace hotaru
