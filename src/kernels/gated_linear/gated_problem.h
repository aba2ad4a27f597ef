// Inputs for tests and fuzzing of the gated linear, and its codes by different ways.
#pragma once

#include <algorithm>
#include <vector>

#include "kernels/gated_linear/gated_linear.h"
#include "kernels/kernel_list.h"
#include "kernels/kernel_set.h"
#include "kernels/linear_problem.h"
#include "tensor/isa.h"

namespace hotaru {

inline constexpr size_t kGap = 32;  // codes between rows that are not ours

class GatedProblem {
 public:
  // shape.outputs: gates and values, 2 F
  GatedProblem(const LinearShape& shape, bool is_wide, uint64_t seed)
      : linear_(shape, seed),
        width_(shape.outputs / 2),
        is_wide_(is_wide),
        stride_(static_cast<size_t>(width_) + kGap),
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

  // By the reference's two ops.
  [[nodiscard]] std::vector<uint8_t> wanted() {
    AlignedArray<std::byte> workspace = linear_workspace(linear_.shape);
    AlignedArray<uint8_t> codes = output();
    const GatedLinearArgs both = args(codes, workspace.data());
    linear_int4_ref(both.linear, Slice{});
    swiglu_ref(both.swiglu, Slice{});
    return {codes.data(), codes.data() + codes.size()};
  }

  // As the device plays it.
  [[nodiscard]] std::vector<uint8_t> found(const KernelSet& kernels, int slices) {
    AlignedArray<std::byte> workspace =
        used_workspace(gated_linear_workspace_bytes(linear_.shape.tokens, linear_.shape.inputs));
    AlignedArray<uint8_t> codes = output();
    for (int i = 0; i < slices; i++) {
      prepare_thread(kernels.isa);
      play_gated_linear(args(codes, workspace.data()), kernels, Slice{i, slices});
      release_thread(kernels.isa);
    }
    return {codes.data(), codes.data() + codes.size()};
  }

  // With AMX's own kernel: what lies in token tiles, back in rows. Lines beyond the last token are not ours.
  [[nodiscard]] std::vector<uint8_t> found_in_tiles(GatedLinearKernel kernel, int slices) {
    AlignedArray<std::byte> workspace = linear_workspace(linear_.shape);
    const auto tokens = static_cast<size_t>(linear_.shape.tokens);
    const auto width = static_cast<size_t>(width_);
    AlignedArray<uint8_t> tiles(padded_tokens(tokens) * width);
    for (int i = 0; i < slices; i++) {
      GatedLinearArgs tiled = args(tiles, workspace.data());
      tiled.is_tiled = true;
      kernel(tiled, Slice{i, slices});
    }
    AlignedArray<uint8_t> codes = output();
    for (size_t t = 0; t < tokens; t++) {
      for (size_t f = 0; f < width; f++) codes.data()[t * stride_ + f] = tiles.data()[token_tile_index(t, f, width)];
    }
    return {codes.data(), codes.data() + codes.size()};
  }

  // With a kernel of its own: of kGatedKernelTokens or more, codes of 8 bits. The thread is prepared for it.
  [[nodiscard]] std::vector<uint8_t> found(GatedLinearKernel kernel, int slices) {
    AlignedArray<std::byte> workspace = linear_workspace(linear_.shape);
    AlignedArray<uint8_t> codes = output();
    for (int i = 0; i < slices; i++) kernel(args(codes, workspace.data()), Slice{i, slices});
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

}  // namespace hotaru
