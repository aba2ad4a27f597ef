// The row-wise ops in AVX2: the 16 lanes of a reduction are two registers.
#include "kernels/requantise_256.h"
#include "kernels/rowwise/rowwise.h"
#include "kernels/x86_intrinsics.h"
#include "tensor/numerics.h"

namespace hotaru {
namespace {

// numerics.h tree_sum_16 of lanes 0..7 and 8..15.
inline float tree_sum(__m256 low, __m256 high) {
  const __m256 eight = _mm256_add_ps(low, high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

// sum_of_squares of R rows at once: one row's chain of fma alone would wait for itself.
template <int R>
inline void sums_of_squares(const float* x, size_t count, float* sums) {
  __m256 low[R];
  __m256 high[R];
  HOTARU_UNROLL(4)
  for (int r = 0; r < R; r++) low[r] = high[r] = _mm256_setzero_ps();
  size_t k = 0;
  for (; k + 16 <= count; k += 16) {
    HOTARU_UNROLL(4)
    for (int r = 0; r < R; r++) {
      const float* at = x + static_cast<size_t>(r) * count + k;
      const __m256 x0 = _mm256_loadu_ps(at);
      const __m256 x1 = _mm256_loadu_ps(at + 8);
      low[r] = _mm256_fmadd_ps(x0, x0, low[r]);
      high[r] = _mm256_fmadd_ps(x1, x1, high[r]);
    }
  }
  HOTARU_UNROLL(4)
  for (int r = 0; r < R; r++) {
    float tail[16] = {};
    for (size_t i = k; i < count; i++) tail[i - k] = x[static_cast<size_t>(r) * count + i];
    const __m256 x0 = _mm256_loadu_ps(tail);
    const __m256 x1 = _mm256_loadu_ps(tail + 8);
    sums[r] = tree_sum(_mm256_fmadd_ps(x0, x0, low[r]), _mm256_fmadd_ps(x1, x1, high[r]));
  }
}

inline float inverse_rms(float sum, size_t count, float epsilon) {
  return 1.0F / std::sqrt(sum / static_cast<float>(count) + epsilon);
}

constexpr size_t kRunRows = 4;           // rows that are summed together; asked for while the ones before become codes
constexpr size_t kFetchedFloats = 1024;  // how far ahead rope asks for its input

template <bool kWide>
inline void normalise_row(const RmsNormArgs& args, size_t t, float r) {
  const auto width = static_cast<size_t>(args.width);
  const float* x = args.input + t * width;
  const CodePlanes out = planes_from(args.output, t * width);
  const Requantise256 to = requantise_code_256<kWide>(args.inverse_scale, args.zero_point);
  const __m256 scale = _mm256_set1_ps(r);
  size_t d = 0;
  for (; d + 16 <= width; d += 16) {
    __builtin_prefetch(x + kRunRows * width + d);
    __m256 y0 = _mm256_mul_ps(_mm256_loadu_ps(x + d), scale);
    __m256 y1 = _mm256_mul_ps(_mm256_loadu_ps(x + d + 8), scale);
    if (args.gamma != nullptr) {
      y0 = _mm256_mul_ps(y0, _mm256_loadu_ps(args.gamma + d));
      y1 = _mm256_mul_ps(y1, _mm256_loadu_ps(args.gamma + d + 8));
    }
    store_16_codes<kWide>(out, d, requantise_8(y0, to), requantise_8(y1, to));
  }
  for (; d < width; d++) {
    float y = x[d] * r;
    if (args.gamma != nullptr) y = y * args.gamma[d];
    store_code(out, d, y, args.inverse_scale, args.zero_point);
  }
}

// numerics.h exp2_polynomial; adding and subtracting 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
inline __m256 exp2_8(__m256 x) {
  const __m256 shift = _mm256_set1_ps(12582912.0F);
  x = _mm256_max_ps(x, _mm256_set1_ps(-kExp2Limit));
  x = _mm256_min_ps(x, _mm256_set1_ps(kExp2Limit));
  const __m256 shifted = _mm256_add_ps(x, shift);
  const __m256 f = _mm256_sub_ps(x, _mm256_sub_ps(shifted, shift));
  __m256 p = _mm256_set1_ps(kExp2Coefficients[6]);
  HOTARU_UNROLL(6)
  for (int i = 5; i >= 0; i--) p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(kExp2Coefficients[i]));
  const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), exponent));
}

inline __m256 silu_times(const float* gate, const float* up) {
  const __m256 x = _mm256_loadu_ps(gate);
  const __m256 e = exp2_8(_mm256_mul_ps(x, _mm256_set1_ps(-kLog2E)));
  return _mm256_mul_ps(_mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0F), e)), _mm256_loadu_ps(up));
}

// One head of one row on its way into query or page.
struct HeadRow {
  const float* x;      // [E]
  const float* gamma;  // [E] or null
  float r;             // 1 / rms where gamma
  const float* cosine;
  const float* sine;
  size_t half;
};

inline HeadRow head_row(const RopeArgs& args, const float* x, size_t t, const float* gamma) {
  const auto width = static_cast<size_t>(args.head_width);
  const size_t angles = static_cast<size_t>(args.position[t]) * (width / 2);
  HeadRow row{x, gamma, 1.0F, args.cosine + angles, args.sine + angles, width / 2};
  if (gamma != nullptr) {
    float sum;
    sums_of_squares<1>(x, width, &sum);
    row.r = inverse_rms(sum, width, args.epsilon);
  }
  return row;
}

inline __m256 normalised_8(const HeadRow& row, size_t e) {
  const __m256 x = _mm256_loadu_ps(row.x + e);
  if (row.gamma == nullptr) return x;
  return _mm256_mul_ps(_mm256_mul_ps(x, _mm256_set1_ps(row.r)), _mm256_loadu_ps(row.gamma + e));
}

struct RotatedPair {
  __m256 low;   // elements j .. j+7
  __m256 high;  // elements j+E/2 ..
};

inline RotatedPair rotated_8(const HeadRow& row, size_t j) {
  const __m256 low = normalised_8(row, j);
  const __m256 high = normalised_8(row, j + row.half);
  const __m256 c = _mm256_loadu_ps(row.cosine + j);
  const __m256 s = _mm256_loadu_ps(row.sine + j);
  return {_mm256_fmsub_ps(low, c, _mm256_mul_ps(high, s)), _mm256_fmadd_ps(high, c, _mm256_mul_ps(low, s))};
}

inline std::byte* page_side(const RopeArgs& args, size_t t, size_t g, size_t offset) {
  const size_t page = static_cast<size_t>(args.position[t]) / kPageTokens;
  return args.pages[t][page] + offset + g * page_side_bytes(static_cast<size_t>(args.head_width));
}

// Eight codes to both planes.
inline void store_8_signed(const SignedPlanes& to, size_t at, __m256i code) {
  const __m256i low = _mm256_srai_epi32(_mm256_slli_epi32(code, 24), 24);
  store_8_s8(to.low + at, low);
  store_8_s8(to.high + at, _mm256_srai_epi32(_mm256_sub_epi32(code, low), 8));
}

// The coefficients of pairs j .. j+7 of query head h, whose first element is `first`.
inline void store_bias_query(const RopeArgs& args, const RotatedPair& y, size_t h, size_t first, size_t j) {
  const auto width = static_cast<size_t>(args.head_width);
  const size_t half = width / 2;
  const size_t g = h / (static_cast<size_t>(args.query_heads) / static_cast<size_t>(args.kv_heads));
  const float* cosine = args.bias_terms + g * width + j;
  const float* sine = cosine + static_cast<size_t>(args.kv_heads) * width;
  const Requantise256 to{args.bias_inverse_scale[h], 0.0F, -kMostSignedCode, kMostSignedCode};
  const __m256 a =
      _mm256_fmadd_ps(y.low, _mm256_loadu_ps(cosine), _mm256_mul_ps(y.high, _mm256_loadu_ps(cosine + half)));
  const __m256 b = _mm256_fmsub_ps(y.high, _mm256_loadu_ps(sine), _mm256_mul_ps(y.low, _mm256_loadu_ps(sine + half)));
  store_8_signed(args.bias_query, first + j, requantise_8(a, to));
  store_8_signed(args.bias_query, first + j + half, requantise_8(b, to));
}

void rope_query(const RopeArgs& args, const float* x, size_t t, size_t h) {
  const auto width = static_cast<size_t>(args.head_width);
  const HeadRow row = head_row(args, x, t, args.query_gamma);
  const Requantise256 to = requantise_s8_256(args.query_inverse_scale[h]);
  const size_t first = (t * static_cast<size_t>(args.query_heads) + h) * width;
  int8_t* query = args.query + first;
  for (size_t j = 0; j < row.half; j += 8) {
    const RotatedPair y = rotated_8(row, j);
    store_8_s8(query + j, requantise_8(y.low, to));
    store_8_s8(query + j + row.half, requantise_8(y.high, to));
    if (args.bias_terms != nullptr) store_bias_query(args, y, h, first, j);
  }
}

// Eight channels of one key: two words of the page, 64 bytes apart.
inline void store_key_channels(std::byte* at, __m256i codes) {
  uint8_t bytes[8];
  store_8_u8(bytes, codes);
  __builtin_memcpy(at, bytes, 4);
  __builtin_memcpy(at + 64, bytes + 4, 4);
}

void rope_key(const RopeArgs& args, const float* x, size_t t, size_t g) {
  const auto width = static_cast<size_t>(args.head_width);
  const size_t slot = static_cast<size_t>(args.position[t]) % kPageTokens;
  const HeadRow row = head_row(args, x, t, args.key_gamma);
  const Requantise256 to = requantise_u8_256(args.key_inverse_scale[g], args.key_zero_point[g]);
  std::byte* page = page_side(args, t, g, args.key_offset);
  for (size_t j = 0; j < row.half; j += 8) {
    RotatedPair y = rotated_8(row, j);
    if (args.key_shift != nullptr) {
      y.low = _mm256_sub_ps(y.low, _mm256_loadu_ps(args.key_shift + g * width + j));
      y.high = _mm256_sub_ps(y.high, _mm256_loadu_ps(args.key_shift + g * width + j + row.half));
    }
    store_key_channels(page + key_page_index(slot, j, width), requantise_8(y.low, to));
    store_key_channels(page + key_page_index(slot, j + row.half, width), requantise_8(y.high, to));
  }
}

// Byte by byte: the three other keys of each 4-byte word may be another thread's.
void rope_value(const RopeArgs& args, const float* x, size_t t, size_t g) {
  const size_t slot = static_cast<size_t>(args.position[t]) % kPageTokens;
  const Requantise256 to = requantise_u8_256(args.value_inverse_scale[g], args.value_zero_point[g] + 128.0F);
  auto* page = reinterpret_cast<uint8_t*>(page_side(args, t, g, args.value_offset));
  for (size_t e = 0; e < static_cast<size_t>(args.head_width); e += 16) {
    uint8_t codes[16];
    store_16_u8(codes, requantise_8(_mm256_loadu_ps(x + e), to), requantise_8(_mm256_loadu_ps(x + e + 8), to));
    uint8_t* at = page + value_page_index(slot, e);
    for (size_t i = 0; i < 16; i++) at[i * 4] = codes[i] ^ 0x80;  // - 128, as s8
  }
}

template <bool kWide>
void normalise_rows(const RmsNormArgs& args, Slice slice) {
  const auto width = static_cast<size_t>(args.width);
  const Slice::Range rows = slice.range(static_cast<size_t>(args.tokens));
  for (size_t t = rows.begin; t < rows.end;) {
    float sums[kRunRows];
    const size_t run = rows.end - t >= kRunRows ? kRunRows : 1;
    if (run == kRunRows) {
      sums_of_squares<kRunRows>(args.input + t * width, width, sums);
    } else {
      sums_of_squares<1>(args.input + t * width, width, sums);
    }
    for (size_t i = 0; i < run; i++, t++) normalise_row<kWide>(args, t, inverse_rms(sums[i], width, args.epsilon));
  }
}

// Work is split in pieces of 64 channels of a row: a decoded token has only one row.
template <bool kWide>
void multiply_gates(const SwiGluArgs& args, Slice slice) {
  const auto width = static_cast<size_t>(args.width);
  const size_t pieces = (width + 63) / 64;
  const Requantise256 to = requantise_code_256<kWide>(args.inverse_scale, args.zero_point);
  const Slice::Range units = slice.range(static_cast<size_t>(args.tokens) * pieces);
  for (size_t unit = units.begin; unit < units.end; unit++) {
    const float* gate = args.gate + unit / pieces * args.input_stride;
    const float* up = args.up + unit / pieces * args.input_stride;
    const CodePlanes out = planes_from(args.output, unit / pieces * args.output_stride);
    size_t f = unit % pieces * 64;
    const size_t end = f + 64 < width ? f + 64 : width;
    for (; f + 16 <= end; f += 16) {
      const __m256i first = requantise_8(silu_times(gate + f, up + f), to);
      store_16_codes<kWide>(out, f, first, requantise_8(silu_times(gate + f + 8, up + f + 8), to));
    }
    for (; f < end; f++) store_code(out, f, silu(gate[f]) * up[f], args.inverse_scale, args.zero_point);
  }
}

}  // namespace

void embed_avx2(const EmbedArgs& args, Slice slice) {
  const auto width = static_cast<size_t>(args.width);
  const Slice::Range rows = slice.range(static_cast<size_t>(args.tokens));
  for (size_t t = rows.begin; t < rows.end; t++) {
    const auto id = static_cast<size_t>(args.id[t]);
    const __m128 scale = _mm_set1_ps(args.scale[id]);
    for (size_t d = 0; d < width; d += 4) {
      int32_t word;
      __builtin_memcpy(&word, args.table + packed_int8_index(id, d, width), sizeof word);
      const __m128 x = _mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(word)));
      _mm_storeu_ps(args.output + t * width + d, _mm_mul_ps(x, scale));
    }
  }
}

void rms_norm_avx2(const RmsNormArgs& args, Slice slice) {
  if (args.output.high != nullptr) return normalise_rows<true>(args, slice);
  normalise_rows<false>(args, slice);
}

void rope_avx2(const RopeArgs& args, Slice slice) {
  const auto query_heads = static_cast<size_t>(args.query_heads);
  const auto kv_heads = static_cast<size_t>(args.kv_heads);
  const size_t heads = query_heads + 2 * kv_heads;
  const Slice::Range units = slice.range(static_cast<size_t>(args.tokens) * heads);
  for (size_t unit = units.begin; unit < units.end; unit++) {
    const size_t t = unit / heads;
    const size_t head = unit % heads;
    const float* x = args.qkv + unit * static_cast<size_t>(args.head_width);
    for (size_t e = 0; e < static_cast<size_t>(args.head_width); e += 16) __builtin_prefetch(x + e + kFetchedFloats);
    if (head < query_heads) {
      rope_query(args, x, t, head);
    } else if (head < query_heads + kv_heads) {
      rope_key(args, x, t, head - query_heads);
    } else {
      rope_value(args, x, t, head - query_heads - kv_heads);
    }
  }
}

void swiglu_avx2(const SwiGluArgs& args, Slice slice) {
  if (args.output.high != nullptr) return multiply_gates<true>(args, slice);
  multiply_gates<false>(args, slice);
}

}  // namespace hotaru
