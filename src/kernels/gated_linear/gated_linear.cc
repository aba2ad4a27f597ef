#include "kernels/gated_linear/gated_linear.h"

#include <algorithm>

#include "kernels/kernel_set.h"

namespace hotaru {
namespace {

// Floats of a piece, gates and values: they leave a second-level cache room for the activations.
constexpr size_t kPieceFloats = size_t{128} << 10;
// What swiglu kernels take at a time; four blocks of rows.
constexpr size_t kUnitChannels = 64;

constexpr size_t piece_channels(size_t tokens) {
  return std::max(kPieceFloats / 2 / tokens / kUnitChannels, size_t{1}) * kUnitChannels;
}

constexpr size_t aligned_linear_bytes(int tokens, int inputs) {
  return (linear_workspace_bytes(tokens, inputs) + 63) / 64 * 64;
}

// Rows [first, first + count) of the matrix alone.
LinearInt4Args some_rows(const LinearInt4Args& all, size_t first, size_t count, float* output) {
  LinearInt4Args some = all;
  some.outputs = static_cast<int>(count);
  some.weight += packed_int4_group(first, 0, static_cast<size_t>(all.inputs));
  some.offset += first;
  some.scale += first;
  if (some.bias != nullptr) some.bias += first;
  some.output = output;
  return some;
}

void play_pieces(const GatedLinearArgs& args, const KernelSet& kernels, Slice slice) {
  const auto tokens = static_cast<size_t>(args.linear.tokens);
  const auto width = static_cast<size_t>(args.swiglu.width);
  const Slice::Range units = slice.range(width / kUnitChannels);
  const size_t last = units.end * kUnitChannels;
  const size_t most = piece_channels(tokens);
  auto* piece =
      reinterpret_cast<float*>(args.linear.workspace + aligned_linear_bytes(args.linear.tokens, args.linear.inputs));
  for (size_t first = units.begin * kUnitChannels; first < last; first += most) {
    const size_t count = std::min(most, last - first);
    float* up = piece + tokens * count;
    kernels.linear_int4(some_rows(args.linear, first, count, piece), Slice{});
    kernels.linear_int4(some_rows(args.linear, width + first, count, up), Slice{});
    SwiGluArgs product = args.swiglu;
    product.width = static_cast<int>(count);
    product.gate = piece;
    product.up = up;
    product.input_stride = count;
    product.output = planes_from(product.output, first);
    kernels.swiglu(product, Slice{});
  }
}

bool has_own_kernel(const KernelSet& kernels, int tokens) {
  return kernels.gated_linear != nullptr && tokens >= kGatedKernelTokens;
}

}  // namespace

bool is_gated_linear(const LinearInt4Args& linear, const SwiGluArgs& swiglu) {
  return swiglu.gate == linear.output && !linear.add_to_output && linear.outputs == 2 * swiglu.width &&
         swiglu.width % static_cast<int>(kUnitChannels) == 0;
}

size_t gated_linear_workspace_bytes(int tokens, int inputs) {
  const auto rows = static_cast<size_t>(tokens);
  // Fewer rows make wider pieces, but never more floats than these.
  return aligned_linear_bytes(tokens, inputs) + std::max(kPieceFloats, rows * kUnitChannels * 2) * sizeof(float);
}

bool can_tile_products(const KernelSet& kernels, int tokens) {
  return kernels.isa == Isa::kAmx && has_own_kernel(kernels, tokens);
}

void play_gated_linear(const GatedLinearArgs& args, const KernelSet& kernels, Slice slice) {
  if (has_own_kernel(kernels, args.linear.tokens) && args.swiglu.output.high == nullptr) {
    kernels.gated_linear(args, slice);
  } else {
    play_pieces(args, kernels, slice);
  }
}

}  // namespace hotaru
