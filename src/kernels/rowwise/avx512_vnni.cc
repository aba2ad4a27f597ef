// The row-wise ops that 512-bit registers make faster; the others are taken from AVX2.
#include "kernels/kernel_list.h"
#include "kernels/requantise_512.h"
#include "kernels/x86_intrinsics.h"
#include "tensor/numerics.h"

namespace hotaru {
namespace {

// numerics.h exp2_polynomial; adding and subtracting 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
inline __m512 exp2_16(__m512 x) {
  const __m512 shift = _mm512_set1_ps(12582912.0F);
  x = _mm512_max_ps(x, _mm512_set1_ps(-kExp2Limit));
  x = _mm512_min_ps(x, _mm512_set1_ps(kExp2Limit));
  const __m512 shifted = _mm512_add_ps(x, shift);
  const __m512 f = _mm512_sub_ps(x, _mm512_sub_ps(shifted, shift));
  __m512 p = _mm512_set1_ps(kExp2Coefficients[6]);
  HOTARU_UNROLL(6)
  for (int i = 5; i >= 0; i--) p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2Coefficients[i]));
  const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
}

// The codes of 16 products.
inline __m512i product_codes(const SwiGluArgs& args, const float* gate, const float* up) {
  const __m512 x = _mm512_loadu_ps(gate);
  const __m512 e = exp2_16(_mm512_mul_ps(x, _mm512_set1_ps(-kLog2E)));
  const __m512 silu = _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0F), e));
  return requantise_16(_mm512_mul_ps(silu, _mm512_loadu_ps(up)), args.inverse_scale, args.zero_point);
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
      const __m512i y0 = product_codes(args, gate + f, up + f);
      const __m512i y1 = product_codes(args, gate + f + 16, up + f + 16);
      const __m512i y2 = product_codes(args, gate + f + 32, up + f + 32);
      const __m512i y3 = product_codes(args, gate + f + 48, up + f + 48);
      _mm512_storeu_si512(out + f, to_64_u8(y0, y1, y2, y3));
      continue;
    }
    for (; f < width; f++) out[f] = requantise_u8(silu(gate[f]) * up[f], args.inverse_scale, args.zero_point);
  }
}

}  // namespace hotaru
