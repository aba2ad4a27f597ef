// Attention as attention.h defines it, one (row, query head) after another.
#include <algorithm>
#include <bit>
#include <numeric>

#include "kernels/attention/attention.h"
#include "kernels/attention/probability.h"

namespace hotaru {
namespace {

// Where the coefficients of a query head of a row lie.
size_t first_element(const AttentionArgs& args, size_t t, size_t h) {
  return (t * static_cast<size_t>(args.query_heads) + h) * static_cast<size_t>(args.head_width);
}

// The columns of a position as C[e] -> c.
template <typename Column>
int32_t bias_sum(const AttentionArgs& args, size_t t, size_t h, const Column& column) {
  const int8_t* high = args.key_bias.high + first_element(args, t, h);
  const int8_t* low = args.key_bias.low + first_element(args, t, h);
  int32_t c = 0;
  for (size_t e = 0; e < static_cast<size_t>(args.head_width); e++) {
    c += high[e] * column(e) + low[e] * (column(e) >> 8);
  }
  return c;
}

// The codes p[s] take the place of the scores a[s]. Returns m, in powers of two.
float code_row(const AttentionArgs& args, size_t h, int32_t* a, size_t keys) {
  const int32_t m = *std::max_element(a, a + keys);
  for (size_t s = 0; s < keys; s++) a[s] = probability_u8(a[s] - m, args.score_scale[h]);
  return static_cast<float>(m) * args.score_scale[h];
}

float split_score(const AttentionArgs& args, size_t h, int32_t c, float score) {
  return __builtin_fmaf(static_cast<float>(c), args.key_bias.scale[h], score);
}

float code_split_row(const AttentionArgs& args, size_t t, size_t h, int32_t* a, size_t keys) {
  const auto width = static_cast<size_t>(args.head_width);
  const auto score = [&](size_t s) {
    const uint8_t* high = args.key_bias.columns + s / kPageTokens * 2 * page_side_bytes(width);
    const uint8_t* low = high + page_side_bytes(width);
    const int32_t c = bias_sum(args, t, h, [&](size_t e) {
      const size_t at = key_page_index(s % kPageTokens, e, width);
      return 256 * high[at] + low[at];
    });
    return split_score(args, h, c, static_cast<float>(a[s]) * args.score_scale[h]);
  };
  float m = score(0);
  for (size_t s = 0; s < keys; s++) {
    const float x = score(s);
    m = x > m ? x : m;
    a[s] = std::bit_cast<int32_t>(x);
  }
  for (size_t s = 0; s < keys; s++) a[s] = probability_u8(std::bit_cast<float>(a[s]) - m);
  return m;
}

// One query head of one row.
void attend(const AttentionArgs& args, size_t t, size_t h) {
  const auto width = static_cast<size_t>(args.head_width);
  const size_t query_heads = static_cast<size_t>(args.query_heads);
  const size_t g = h / (query_heads / static_cast<size_t>(args.kv_heads));
  const size_t keys = static_cast<size_t>(args.position[t]) + 1;
  const int8_t* q = args.query + first_element(args, t, h);
  const size_t head_offset = g * page_side_bytes(width);
  const auto key = [&](size_t s, size_t e) {
    const auto* page = reinterpret_cast<const uint8_t*>(args.pages[t][s / kPageTokens] + args.key_offset + head_offset);
    return static_cast<int32_t>(page[key_page_index(s % kPageTokens, e, width)]);
  };
  const auto value = [&](size_t s, size_t e) {
    const auto* page =
        reinterpret_cast<const int8_t*>(args.pages[t][s / kPageTokens] + args.value_offset + head_offset);
    return static_cast<int32_t>(page[value_page_index(s % kPageTokens, e)]);
  };

  auto* a = reinterpret_cast<int32_t*>(args.workspace);
  for (size_t s = 0; s < keys; s++) {
    a[s] = 0;
    for (size_t e = 0; e < width; e++) a[s] += q[e] * key(s, e);
  }
  const bool splits = args.key_bias.high != nullptr;
  const float top = splits ? code_split_row(args, t, h, a, keys) : code_row(args, h, a, keys);
  const int32_t* p = a;
  const int32_t sum = std::accumulate(p, p + keys, 0);
  // Prefix tokens.
  const auto prefix_tokens = static_cast<size_t>(args.prefix.tokens);
  const auto constants = [&](size_t i) { return (i * static_cast<size_t>(args.kv_heads) + g) * width; };
  float weight[kMaxPrefixTokens];
  float total = static_cast<float>(sum);
  for (size_t i = 0; i < prefix_tokens; i++) {
    int32_t b = 0;
    for (size_t e = 0; e < width; e++) b += q[e] * args.prefix.key[constants(i) + e];
    float score = static_cast<float>(b) * args.prefix.score_scale[h];
    if (splits) {
      const int16_t* columns = args.key_bias.prefix_columns + i * width;
      score = split_score(args, h, bias_sum(args, t, h, [columns](size_t e) { return int32_t{columns[e]}; }), score);
    }
    weight[i] = prefix_weight(score - top);
    total = total + weight[i];
  }

  const float scale = args.value_scale[g] / total;
  for (size_t e = 0; e < width; e++) {
    int32_t o = -args.value_zero_point[g] * sum;
    for (size_t s = 0; s < keys; s++) o += p[s] * value(s, e);
    float y = static_cast<float>(o) * scale;
    for (size_t i = 0; i < prefix_tokens; i++) {
      const float share = weight[i] * args.prefix.value_scale[g] / total;
      y = __builtin_fmaf(static_cast<float>(args.prefix.value[constants(i) + e]), share, y);
    }
    store_code(args.output, first_element(args, t, h) + e, y, args.output_inverse_scale, args.output_zero_point);
  }
}

}  // namespace

void attention_ref(const AttentionArgs& args, Slice slice) {
  const auto query_heads = static_cast<size_t>(args.query_heads);
  const Slice::Range units = slice.range(static_cast<size_t>(args.tokens) * query_heads);
  for (size_t unit = units.begin; unit < units.end; unit++) attend(args, unit / query_heads, unit % query_heads);
}

}  // namespace hotaru
