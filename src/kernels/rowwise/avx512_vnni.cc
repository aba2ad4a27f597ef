// The row-wise ops that 512-bit registers make faster; the others are taken from AVX2.
#include "kernels/requantise_512.h"
#include "kernels/rowwise/rowwise.h"
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
#pragma GCC unroll 6
  for (int i = 5; i >= 0; i--) p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(kExp2Coefficients[i]));
  const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), exponent));
}

inline __m512 silu_times(const float* gate, const float* up) {
  const __m512 x = _mm512_loadu_ps(gate);
  const __m512 e = exp2_16(_mm512_mul_ps(x, _mm512_set1_ps(-kLog2E)));
  return _mm512_mul_ps(_mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0F), e)), _mm512_loadu_ps(up));
}

}  // namespace

// Work is split in pieces of 64 channels of a row: a decoded token has only one row.
void swiglu_avx512_vnni(const SwiGluArgs& args, Slice slice) {
  const auto width = static_cast<size_t>(args.width);
  const size_t pieces = (width + 63) / 64;
  const Requantise512 to = requantise_u8_512(args.inverse_scale, args.zero_point);
  const Slice::Range units = slice.range(static_cast<size_t>(args.tokens) * pieces);
  for (size_t unit = units.begin; unit < units.end; unit++) {
    const float* gate = args.input + unit / pieces * 2 * width;
    uint8_t* out = args.output + unit / pieces * width;
    size_t f = unit % pieces * 64;
    if (f + 64 <= width) {
      const float* up = gate + width;
      const __m512i y0 = requantise_16(silu_times(gate + f, up + f), to);
      const __m512i y1 = requantise_16(silu_times(gate + f + 16, up + f + 16), to);
      const __m512i y2 = requantise_16(silu_times(gate + f + 32, up + f + 32), to);
      const __m512i y3 = requantise_16(silu_times(gate + f + 48, up + f + 48), to);
      _mm512_storeu_si512(out + f, to_64_u8(y0, y1, y2, y3));
      continue;
    }
    for (; f < width; f++) out[f] = requantise_u8(silu(gate[f]) * gate[width + f], args.inverse_scale, args.zero_point);
  }
}

}  // namespace hotaru
