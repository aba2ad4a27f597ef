// linear_int4 for AVX-512 VNNI. Few tokens: nibbles (code + 8) go to dpbusd as they are, a group's sum starts at
// -8 * (sum of its activations), and is then multiplied by its multiplier. Many tokens: folded_panels_avx512.h.
#include "kernels/kernel_list.h"
#include "kernels/linear_int4/folded_panels_avx512.h"
#include "kernels/linear_int4/group_sums_x86.h"
#include "kernels/linear_panel_avx512.h"
#include "kernels/linear_stream_x86.h"

namespace hotaru {
namespace {

constexpr size_t kFewTokens = 11;  // up to here weights are streamed; above, unpacked once

// Weights of few tokens.
struct Streamed {
  static constexpr size_t kChunkTokens = 8;

  const PanelJob& job;
  size_t groups;
  const uint8_t* weight;  // packed
  const int32_t* start;   // [T, K/32] -8 * sum of the group's activations

  // Each block is read front to back.
  template <size_t kTokens, size_t kBlocks>
  void chunk(const size_t (&block)[kBlocks], size_t first_token, int32_t* to) const {
    const __m512i nibble = _mm512_set1_epi8(15);
    const size_t inputs = job.inputs;
    const uint8_t* u = job.input + first_token * inputs;
    const int32_t* first = start + first_token * groups;
    __m512i sums[kBlocks][kTokens] = {};
    for (size_t g = 0; g < groups; g++, u += kGroupInputs) {
      HOTARU_UNROLL(2)
      for (size_t b = 0; b < kBlocks; b++) {
        const uint8_t* group = weight + (block[b] * groups + g) * kGroupBytes;
        for (size_t line = 0; line < kGroupBytes; line += 64) {
          ask_ahead(group + line, kFarInt4Lines<kTokens>);
        }
        if constexpr (kTokens > 2) HOTARU_RELOAD(u);
        // dpbusd takes longer than it is started apart: two chains where there are few tokens.
        constexpr size_t kChains = kTokens > 4 ? 1 : 2;
        __m512i products[kTokens][kChains];
        HOTARU_UNROLL(8)
        for (size_t t = 0; t < kTokens; t++) {
          products[t][kChains - 1] = _mm512_setzero_si512();
          products[t][0] = _mm512_set1_epi32(first[t * groups + g]);
        }
        HOTARU_UNROLL(4)
        for (size_t i = 0; i < 4; i++) {
          const __m512i codes = _mm512_loadu_si512(group + 64 * i);
          const __m512i low = _mm512_and_si512(codes, nibble);
          const __m512i high = _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble);
          HOTARU_UNROLL(8)
          for (size_t t = 0; t < kTokens; t++) {
            __m512i& even = products[t][0];
            __m512i& odd = products[t][kChains - 1];
            even = _mm512_dpbusd_epi32(even, broadcast_inputs_512(u + t * inputs + 8 * i), low);
            odd = _mm512_dpbusd_epi32(odd, broadcast_inputs_512(u + t * inputs + 8 * i + 4), high);
          }
        }
        const __m512i multiplier =
            _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(group + kGroupCodeBytes)));
        HOTARU_UNROLL(8)
        for (size_t t = 0; t < kTokens; t++) {
          __m512i sum = products[t][0];
          if constexpr (kChains > 1) sum = _mm512_add_epi32(sum, products[t][1]);
          sums[b][t] = _mm512_add_epi32(sums[b][t], _mm512_mullo_epi32(sum, multiplier));
        }
      }
    }
    keep_sums(sums, job.tokens, first_token, to);
  }
};

void many_rows(const PanelJob& job, const uint8_t* weight, Slice::Range blocks, std::byte* workspace) {
  const FoldedPanels panels = {job, weight, workspace};
  const StoreRows512 store = {job.to};
  size_t block = blocks.begin;
  for (; block + 4 <= blocks.end; block += 4) panels.multiply({block, block + 1, block + 2, block + 3}, 4, store);
  for (; block + 2 <= blocks.end; block += 2) panels.multiply({block, block + 1}, 2, store);
  if (block < blocks.end) panels.multiply({block}, 1, store);
}

}  // namespace

void linear_int4_avx512_vnni(const LinearInt4Args& args, Slice slice) {
  const auto outputs = static_cast<size_t>(args.outputs);
  const PanelJob job = {static_cast<size_t>(args.tokens),
                        static_cast<size_t>(args.inputs),
                        args.input,
                        {outputs, args.offset, args.scale, args.bias, args.output, args.add_to_output}};
  const size_t groups = job.inputs / kGroupInputs;
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  if (job.tokens <= kFewTokens) {
    auto* start = reinterpret_cast<int32_t*>(args.workspace);
    negated_group_sums(args.input, job.tokens * groups, start);
    stream_slice<2>(job.to, job.tokens, blocks, Streamed{job, groups, args.weight, start});
  } else {
    many_rows(job, args.weight, blocks, args.workspace);
  }
}

}  // namespace hotaru
