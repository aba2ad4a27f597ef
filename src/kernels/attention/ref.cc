// Attention as attention.h defines it, one (row, query head) after another.
#include <algorithm>

#include "kernels/attention/attention.h"
#include "kernels/attention/probability.h"

namespace hotaru {
namespace {

// One query head of one row.
void attend(const AttentionArgs& args, size_t t, size_t h) {
  const auto width = static_cast<size_t>(args.head_width);
  const size_t query_heads = static_cast<size_t>(args.query_heads);
  const size_t g = h / (query_heads / static_cast<size_t>(args.kv_heads));
  const size_t keys = static_cast<size_t>(args.position[t]) + 1;
  const int8_t* q = args.query + (t * query_heads + h) * width;
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
  const int32_t m = *std::max_element(a, a + keys);
  int32_t* p = a;
  int32_t sum = 0;
  for (size_t s = 0; s < keys; s++) {
    p[s] = probability_u8(a[s] - m, args.score_scale[h]);
    sum += p[s];
  }
  // Prefix tokens.
  const auto prefix_tokens = static_cast<size_t>(args.prefix.tokens);
  const auto constants = [&](size_t i) { return (i * static_cast<size_t>(args.kv_heads) + g) * width; };
  const float top = static_cast<float>(m) * args.score_scale[h];
  float weight[kMaxPrefixTokens];
  float total = static_cast<float>(sum);
  for (size_t i = 0; i < prefix_tokens; i++) {
    int32_t b = 0;
    for (size_t e = 0; e < width; e++) b += q[e] * args.prefix.key[constants(i) + e];
    weight[i] = prefix_weight(static_cast<float>(b) * args.prefix.score_scale[h] - top);
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
    store_code(args.output, (t * query_heads + h) * width + e, y, args.output_inverse_scale, args.output_zero_point);
  }
}

}  // namespace

void attention_ref(const AttentionArgs& args, Slice slice) {
  const auto query_heads = static_cast<size_t>(args.query_heads);
  const Slice::Range units = slice.range(static_cast<size_t>(args.tokens) * query_heads);
  for (size_t unit = units.begin; unit < units.end; unit++) attend(args, unit / query_heads, unit % query_heads);
}

}  // namespace hotaru
