// Unpacks a block of 16 rows for many tokens: codes times their group's multiplier, |m * q| <= 120, in the packed int8
// order. The rest is then an 8-bit product over all of K.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/packed.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

// out: [8 steps][16 rows][4 inputs] s8, 64-byte aligned
static inline void fold_group(const uint8_t* group, int8_t* out) {
  const __m512i nibble = _mm512_set1_epi8(15);
  const __m512i row = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(group + kGroupCodeBytes)));
  const __m512i multiplier = _mm512_or_si512(row, _mm512_slli_epi32(row, 16));       // 16 bits each, two to a row
  const __m512i offset = _mm512_mullo_epi16(multiplier, _mm512_set1_epi16(0x0808));  // bytes of 8 * m
  HOTARU_UNROLL(4)
  for (size_t i = 0; i < 4; i++) {
    const __m512i codes = _mm512_loadu_si512(group + 64 * i);
    // One 16-bit product is two 8-bit ones: (n0 + 256 n1) * m, and n0 * m <= 225 carries nothing over.
    const __m512i even = _mm512_mullo_epi16(_mm512_and_si512(codes, nibble), multiplier);
    const __m512i odd = _mm512_mullo_epi16(_mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble), multiplier);
    _mm512_store_si512(out + 2 * i * 64, _mm512_sub_epi8(even, offset));
    _mm512_store_si512(out + (2 * i + 1) * 64, _mm512_sub_epi8(odd, offset));
  }
}

}  // namespace hotaru
