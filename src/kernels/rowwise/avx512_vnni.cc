// The row-wise ops that 512-bit registers make faster; the others are taken from AVX2.
#include "kernels/gated_512.h"
#include "kernels/kernel_list.h"
#include "kernels/x86_intrinsics.h"
#include "tensor/numerics.h"

namespace hotaru {
namespace {

// The codes of 64 products.
inline __m512i product_codes(const SwiGluArgs& args, const float* gates, const float* ups) {
  Vectors512 gate, up;
  HOTARU_UNROLL(4)
  for (size_t v = 0; v < kGated; v++) {
    gate[v] = _mm512_loadu_ps(gates + 16 * v);
    up[v] = _mm512_loadu_ps(ups + 16 * v);
  }
  return gated_codes(gate, up, args.inverse_scale, args.zero_point);
}

}  // namespace

// Work is split in pieces of 64 channels of a row: a decoded token has only one row.
void swiglu_avx512_vnni(const SwiGluArgs& args, Slice slice) {
  if (args.output.high != nullptr) {
    (swiglu_avx2)(args, slice);  // parentheses: found by scope alone, the emulated has its emulated twin
    return;
  }
  const auto width = static_cast<size_t>(args.width);
  const size_t pieces = (width + 63) / 64;
  const Slice::Range units = slice.range(static_cast<size_t>(args.tokens) * pieces);
  for (size_t unit = units.begin; unit < units.end; unit++) {
    const float* gate = args.gate + unit / pieces * args.input_stride;
    const float* up = args.up + unit / pieces * args.input_stride;
    uint8_t* out = args.output.low + unit / pieces * args.output_stride;
    size_t f = unit % pieces * 64;
    if (f + 64 <= width) {
      _mm512_storeu_si512(out + f, product_codes(args, gate + f, up + f));
      continue;
    }
    for (; f < width; f++) out[f] = requantise_u8(silu(gate[f]) * up[f], args.inverse_scale, args.zero_point);
  }
}

}  // namespace hotaru
