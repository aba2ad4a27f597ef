// x86 intrinsics as portable code (SIMDe, and a model of AMX tiles), so that a kernel's logic is tested on machines
// that lack its ISA. Only for tests: cmake/HotaruEmulation.cmake compiles every kernels/<op>/<isa>.cc a second time,
// for the plain target, inside `namespace emulated` with HOTARU_EMULATE_ISA defined; emulation/tested_kernels.h lists
// the results. An intrinsic that SIMDe 0.7.4 lacks gets a few lines here.
#pragma once

#define SIMDE_ENABLE_NATIVE_ALIASES
#pragma GCC diagnostic ignored "-Wpsabi"
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#define _mm256_dpbusd_avx_epi32 simde_mm256_dpbusd_epi32

// SIMDe rounds between the product and the sum; these do not.
template <typename Vector>
static inline Vector emulated_fma(const Vector& a, const Vector& b, const Vector& c, float sign) {
  constexpr size_t kLanes = sizeof(Vector) / sizeof(float);
  float x[kLanes], y[kLanes], z[kLanes];
  std::memcpy(x, &a, sizeof a);
  std::memcpy(y, &b, sizeof b);
  std::memcpy(z, &c, sizeof c);
  for (size_t i = 0; i < kLanes; i++) z[i] = __builtin_fmaf(x[i], y[i], sign * z[i]);
  Vector result;
  std::memcpy(&result, z, sizeof result);
  return result;
}
#undef _mm256_fmadd_ps
#undef _mm256_fmsub_ps
#undef _mm512_fmadd_ps
#define _mm256_fmadd_ps(a, b, c) emulated_fma<simde__m256>(a, b, c, 1.0F)
#define _mm256_fmsub_ps(a, b, c) emulated_fma<simde__m256>(a, b, c, -1.0F)
#define _mm512_fmadd_ps(a, b, c) emulated_fma<simde__m512>(a, b, c, 1.0F)

// SIMDe's touch the whole vector's memory, also what the mask leaves out.
static inline simde__m256i emulated_mask_load(const void* base, simde__m256i mask) {
  int32_t wanted[8], lanes[8] = {};
  std::memcpy(wanted, &mask, sizeof mask);
  for (size_t i = 0; i < 8; i++) {
    if (wanted[i] < 0) std::memcpy(&lanes[i], static_cast<const char*>(base) + 4 * i, 4);
  }
  return simde_mm256_loadu_si256(lanes);
}
static inline void emulated_mask_store(float* base, simde__m256i mask, simde__m256 values) {
  int32_t wanted[8];
  float lanes[8];
  std::memcpy(wanted, &mask, sizeof mask);
  std::memcpy(lanes, &values, sizeof values);
  for (size_t i = 0; i < 8; i++) {
    if (wanted[i] < 0) base[i] = lanes[i];
  }
}
#undef _mm256_maskload_epi32
#undef _mm256_maskload_ps
#undef _mm256_maskstore_ps
#define _mm256_maskload_epi32(base, mask) emulated_mask_load(base, mask)
#define _mm256_maskload_ps(base, mask) simde_mm256_castsi256_ps(emulated_mask_load(base, mask))
#define _mm256_maskstore_ps(base, mask, values) emulated_mask_store(base, mask, values)

// SIMDe's overflows signed bytes.
static inline simde__m512i emulated_sub_epi8(simde__m512i a, simde__m512i b) {
  uint8_t x[64], y[64];
  std::memcpy(x, &a, sizeof a);
  std::memcpy(y, &b, sizeof b);
  for (size_t i = 0; i < 64; i++) x[i] = static_cast<uint8_t>(x[i] - y[i]);
  std::memcpy(&a, x, sizeof a);
  return a;
}
#undef _mm512_sub_epi8
#define _mm512_sub_epi8(a, b) emulated_sub_epi8(a, b)

static inline simde__m512 _mm512_cvtepi32_ps(simde__m512i a) {
  return simde_mm512_insertf32x8(simde_mm512_castps256_ps512(simde_mm256_cvtepi32_ps(simde_mm512_castsi512_si256(a))),
                                 simde_mm256_cvtepi32_ps(simde_mm512_extracti64x4_epi64(a, 1)), 1);
}
static inline simde__m512i _mm512_cvtepu8_epi32(simde__m128i a) {
  return simde_mm512_inserti64x4(simde_mm512_castsi256_si512(simde_mm256_cvtepu8_epi32(a)),
                                 simde_mm256_cvtepu8_epi32(simde_mm_bsrli_si128(a, 8)), 1);
}
static inline simde__m512i _mm512_cvtepi16_epi32(simde__m256i a) {
  return simde_mm512_inserti64x4(
      simde_mm512_castsi256_si512(simde_mm256_cvtepi16_epi32(simde_mm256_castsi256_si128(a))),
      simde_mm256_cvtepi16_epi32(simde_mm256_extracti128_si256(a, 1)), 1);
}
static inline simde__m512i _mm512_cvtps_epi32(simde__m512 a) {
  const simde__m512i bits = simde_mm512_castps_si512(a);
  const simde__m256 low = simde_mm256_castsi256_ps(simde_mm512_castsi512_si256(bits));
  const simde__m256 high = simde_mm256_castsi256_ps(simde_mm512_extracti64x4_epi64(bits, 1));
  return simde_mm512_inserti64x4(simde_mm512_castsi256_si512(simde_mm256_cvtps_epi32(low)),
                                 simde_mm256_cvtps_epi32(high), 1);
}

// SIMDe has neither. x less the nearest integer, half to even (with 0, all that is asked for); x * 2^floor(exponent).
static inline simde__m512 emulated_reduce_ps(simde__m512 a) {
  float lanes[16];
  std::memcpy(lanes, &a, sizeof a);
  for (float& x : lanes) x = std::isinf(x) ? 0.0F : x - std::nearbyintf(x);
  std::memcpy(&a, lanes, sizeof a);
  return a;
}
#define _mm512_reduce_ps(a, imm8) emulated_reduce_ps(a)
static inline simde__m512 emulated_scalef_ps(simde__m512 a, simde__m512 exponent) {
  float lanes[16], exponents[16];
  std::memcpy(lanes, &a, sizeof a);
  std::memcpy(exponents, &exponent, sizeof exponent);
  for (size_t i = 0; i < 16; i++) {
    const float n = std::floor(exponents[i]);
    lanes[i] = std::isnan(n) ? n : std::ldexp(lanes[i], static_cast<int>(n < -1000 ? -1000 : n > 1000 ? 1000 : n));
  }
  std::memcpy(&a, lanes, sizeof a);
  return a;
}
#undef _mm512_scalef_ps
#define _mm512_scalef_ps(a, exponent) emulated_scalef_ps(a, exponent)

using __mmask16 = uint16_t;
template <typename Vector>
static inline Vector emulated_masked_lanes(__mmask16 mask, const void* base) {
  int32_t lanes[16] = {};
  for (size_t i = 0; i < 16; i++) {
    if ((mask >> i & 1) != 0) std::memcpy(&lanes[i], static_cast<const char*>(base) + 4 * i, 4);
  }
  Vector result;
  std::memcpy(&result, lanes, sizeof result);
  return result;
}
#define _mm512_maskz_loadu_epi32(mask, base) emulated_masked_lanes<simde__m512i>(mask, base)
#define _mm512_maskz_loadu_ps(mask, base) emulated_masked_lanes<simde__m512>(mask, base)
static inline void _mm512_mask_storeu_ps(float* base, __mmask16 mask, simde__m512 values) {
  float lanes[16];
  std::memcpy(lanes, &values, sizeof values);
  for (size_t i = 0; i < 16; i++) {
    if ((mask >> i & 1) != 0) base[i] = lanes[i];
  }
}

// AMX: eight tiles of 16 rows x 64 bytes, as tile_config.h configures them (Intel SDM, TDPBUSD and its family).
struct EmulatedTile {
  unsigned char bytes[16][64];
};
static thread_local EmulatedTile emulated_tiles[8];

static inline void _tile_loadd(int tile, const void* base, size_t stride) {
  for (size_t row = 0; row < 16; row++) {
    std::memcpy(emulated_tiles[tile].bytes[row], static_cast<const char*>(base) + row * stride, 64);
  }
}
#define _tile_stream_loadd _tile_loadd
static inline void _tile_stored(int tile, void* base, size_t stride) {
  for (size_t row = 0; row < 16; row++) {
    std::memcpy(static_cast<char*>(base) + row * stride, emulated_tiles[tile].bytes[row], 64);
  }
}
static inline void _tile_zero(int tile) { emulated_tiles[tile] = {}; }

// sums[m][n] += sum over steps k and bytes j of left[m][4k + j] * right[k][4n + j].
template <typename Left, typename Right>
static inline void emulated_tile_product(int sums, int left, int right) {
  for (size_t m = 0; m < 16; m++) {
    for (size_t n = 0; n < 16; n++) {
      int32_t sum;
      std::memcpy(&sum, &emulated_tiles[sums].bytes[m][4 * n], 4);
      for (size_t i = 0; i < 64; i++) {
        sum += static_cast<Left>(emulated_tiles[left].bytes[m][i]) *
               static_cast<Right>(emulated_tiles[right].bytes[i / 4][4 * n + i % 4]);
      }
      std::memcpy(&emulated_tiles[sums].bytes[m][4 * n], &sum, 4);
    }
  }
}
static inline void _tile_dpbssd(int sums, int left, int right) {
  emulated_tile_product<int8_t, int8_t>(sums, left, right);
}
static inline void _tile_dpbsud(int sums, int left, int right) {
  emulated_tile_product<int8_t, uint8_t>(sums, left, right);
}
static inline void _tile_dpbusd(int sums, int left, int right) {
  emulated_tile_product<uint8_t, int8_t>(sums, left, right);
}
static inline void _tile_dpbuud(int sums, int left, int right) {
  emulated_tile_product<uint8_t, uint8_t>(sums, left, right);
}
