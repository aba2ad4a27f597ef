// numerics.h's requantise in 256-bit registers, and the way from int32 lanes to bytes. Internal linkage: see NUMERICS
// on weak symbols.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/code_planes.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {
namespace {

// requantise_clamp's constants.
struct Requantise256 {
  float inverse_scale;
  float zero_point;
  float low;
  float high;
};

inline Requantise256 requantise_u8_256(float inverse_scale, float zero_point) {
  return {inverse_scale, zero_point, 0.0F, 255.0F};
}
inline Requantise256 requantise_u16_256(float inverse_scale, float zero_point) {
  return {inverse_scale, zero_point, 0.0F, 65535.0F};
}
template <bool kWide>
inline Requantise256 requantise_code_256(float inverse_scale, float zero_point) {
  return kWide ? requantise_u16_256(inverse_scale, zero_point) : requantise_u8_256(inverse_scale, zero_point);
}
inline Requantise256 requantise_s8_256(float inverse_scale) { return {inverse_scale, 0.0F, -127.0F, 127.0F}; }

// The code of 8 floats, as int32.
inline __m256i requantise_8(__m256 x, const Requantise256& to) {
  __m256 t = _mm256_add_ps(_mm256_mul_ps(x, _mm256_set1_ps(to.inverse_scale)), _mm256_set1_ps(to.zero_point));
  t = _mm256_min_ps(_mm256_max_ps(t, _mm256_set1_ps(to.low)), _mm256_set1_ps(to.high));
  return _mm256_cvtps_epi32(t);
}

// Eight int32 as s16.
inline __m128i to_words(__m256i x) {
  return _mm_packs_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
}
inline void store_16_u8(uint8_t* at, __m256i first, __m256i second) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm_packus_epi16(to_words(first), to_words(second)));
}
// Codes of 16 bits (kWide) into both planes, of 8 bits into the one.
template <bool kWide>
inline void store_16_codes(const CodePlanes& to, size_t at, __m256i first, __m256i second) {
  if constexpr (kWide) {
    const __m256i low = _mm256_set1_epi32(255);
    store_16_u8(to.low + at, _mm256_and_si256(first, low), _mm256_and_si256(second, low));
    store_16_u8(to.high + at, _mm256_srli_epi32(first, 8), _mm256_srli_epi32(second, 8));
  } else {
    store_16_u8(to.low + at, first, second);
  }
}
inline void store_8_u8(uint8_t* at, __m256i x) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(at), _mm_packus_epi16(to_words(x), to_words(x)));
}
inline void store_8_s8(int8_t* at, __m256i x) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(at), _mm_packs_epi16(to_words(x), to_words(x)));
}

}  // namespace
}  // namespace hotaru
