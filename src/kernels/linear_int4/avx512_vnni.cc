// linear_int4 for AVX-512 VNNI. Few tokens: nibbles (code + 8) go to dpbusd as they are, a group's sum starts at
// -8 * (sum of its activations), and is then multiplied by its multiplier. Many tokens: fold_avx512.h.
#include "kernels/kernel_list.h"
#include "kernels/linear_int4/fold_avx512.h"
#include "kernels/linear_int4/group_sums_x86.h"
#include "kernels/linear_panel_avx512.h"

namespace hotaru {
namespace {

constexpr size_t kFewTokens = 8;    // up to here weights are streamed; above, unpacked once
constexpr size_t kChunkTokens = 4;  // a second chunk finds the weights in the cache
constexpr size_t kPrefetchBytes = 2048;

struct Stream {
  PanelJob job;
  size_t groups;
  const uint8_t* weight;  // packed
  const int32_t* start;   // [T, K/32] -8 * sum of the group's activations
};

// kStreams blocks at once, each read front to back from where it lies.
template <int kTokens, int kStreams>
void stream_blocks(const Stream& stream, size_t first_token, const size_t (&block)[kStreams]) {
  const __m512i nibble = _mm512_set1_epi8(15);
  const size_t inputs = stream.job.inputs;
  const uint8_t* u = stream.job.input + first_token * inputs;
  const int32_t* start = stream.start + first_token * stream.groups;
  __m512i sums[kStreams][kTokens] = {};
  for (size_t g = 0; g < stream.groups; g++, u += kGroupInputs) {
    HOTARU_UNROLL(2)
    for (size_t s = 0; s < kStreams; s++) {
      const uint8_t* group = stream.weight + (block[s] * stream.groups + g) * kGroupBytes;
      for (size_t line = 0; line < kGroupBytes; line += 64) {
        _mm_prefetch(reinterpret_cast<const char*>(group + kPrefetchBytes + line), _MM_HINT_T0);
      }
      if constexpr (kTokens > 2) HOTARU_RELOAD(u);
      __m512i even[kTokens], odd[kTokens];  // two chains: dpbusd takes longer than it is started apart
      HOTARU_UNROLL(4)
      for (size_t t = 0; t < kTokens; t++) {
        even[t] = _mm512_set1_epi32(start[t * stream.groups + g]);
        odd[t] = _mm512_setzero_si512();
      }
      HOTARU_UNROLL(4)
      for (size_t i = 0; i < 4; i++) {
        const __m512i codes = _mm512_loadu_si512(group + 64 * i);
        const __m512i low = _mm512_and_si512(codes, nibble);
        const __m512i high = _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble);
        HOTARU_UNROLL(4)
        for (size_t t = 0; t < kTokens; t++) {
          even[t] = _mm512_dpbusd_epi32(even[t], broadcast_inputs_512(u + t * inputs + 8 * i), low);
          odd[t] = _mm512_dpbusd_epi32(odd[t], broadcast_inputs_512(u + t * inputs + 8 * i + 4), high);
        }
      }
      const __m512i multiplier =
          _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(group + kGroupCodeBytes)));
      HOTARU_UNROLL(4)
      for (size_t t = 0; t < kTokens; t++) {
        const __m512i products = _mm512_mullo_epi32(_mm512_add_epi32(even[t], odd[t]), multiplier);
        sums[s][t] = _mm512_add_epi32(sums[s][t], products);
      }
    }
  }
  __m512i done[kTokens][kStreams];
  HOTARU_UNROLL(4)
  for (size_t t = 0; t < kTokens; t++) {
    HOTARU_UNROLL(2)
    for (size_t s = 0; s < kStreams; s++) done[t][s] = sums[s][t];
  }
  store_blocks_512<kTokens, kStreams>(stream.job.to, first_token, block, done);
}

template <int kStreams>
void stream_all_tokens(const Stream& stream, const size_t (&block)[kStreams]) {
  size_t t = 0;
  const size_t tokens = stream.job.tokens;
  for (; t + kChunkTokens <= tokens; t += kChunkTokens) stream_blocks<kChunkTokens, kStreams>(stream, t, block);
  const size_t rest = tokens - t;
  if (rest == 1) stream_blocks<1, kStreams>(stream, t, block);
  if (rest == 2) stream_blocks<2, kStreams>(stream, t, block);
  if (rest == 3) stream_blocks<3, kStreams>(stream, t, block);
}

// Two streams, one through each half of the slice: more memory requests in flight than one.
void few_rows(const Stream& stream, Slice::Range blocks) {
  const size_t half = (blocks.end - blocks.begin) / 2;
  for (size_t i = 0; i < half; i++) stream_all_tokens<2>(stream, {blocks.begin + i, blocks.begin + half + i});
  for (size_t block = blocks.begin + 2 * half; block < blocks.end; block++) stream_all_tokens<1>(stream, {block});
}

// Inputs of a panel: two blocks of them stay in L1, beside the tokens that go by. With many tokens unpacking is a small
// part of the work, and their sums would leave L1 instead: then a panel has all inputs.
constexpr size_t kPanelInputs = 768;
constexpr size_t kPanelTokens = 192;

// kBlocks blocks from `block` on, in parts of K.
template <int kBlocks>
void unpacked_blocks(const PanelJob& job, const uint8_t* weight, size_t block, std::byte* workspace) {
  const size_t groups = job.inputs / kGroupInputs;
  const size_t parts = job.tokens > kPanelTokens ? 1 : (job.inputs + kPanelInputs - 1) / kPanelInputs;
  const size_t panel_bytes = (parts > 1 ? kPanelInputs : job.inputs) * kRowsPerBlock;
  auto* panels = reinterpret_cast<int8_t*>(workspace);
  auto* sums = reinterpret_cast<int32_t*>(panels + kBlocks * panel_bytes);
  size_t blocks[kBlocks];
  const int8_t* panel[kBlocks];
  for (size_t b = 0; b < kBlocks; b++) {
    blocks[b] = block + b;
    panel[b] = panels + b * panel_bytes;
  }
  for (size_t p = 0; p < parts; p++) {
    const size_t begin = groups * p / parts;
    const size_t end = groups * (p + 1) / parts;
    // After the last part come the first groups of the next blocks, or what lies behind the weights.
    const size_t next = p + 1 < parts ? end : kBlocks * groups;
    PanelAhead<kBlocks> ahead = {{}, (groups / parts + 1) * kGroupBytes};
    for (size_t b = 0; b < kBlocks; b++) {
      const uint8_t* packed = weight + (block + b) * groups * kGroupBytes;
      fold_multipliers(packed + begin * kGroupBytes, end - begin, panels + b * panel_bytes);
      ahead.of[b] = packed + next * kGroupBytes;
    }
    panel_all_tokens_512<kBlocks>(job, {begin * kGroupInputs, end * kGroupInputs, sums}, blocks, panel, ahead);
  }
}

void many_rows(const PanelJob& job, const uint8_t* weight, Slice::Range blocks, std::byte* workspace) {
  size_t block = blocks.begin;
  for (; block + 2 <= blocks.end; block += 2) unpacked_blocks<2>(job, weight, block, workspace);
  if (block < blocks.end) unpacked_blocks<1>(job, weight, block, workspace);
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
    few_rows({job, groups, args.weight, start}, blocks);
  } else {
    many_rows(job, args.weight, blocks, args.workspace);
  }
}

}  // namespace hotaru
