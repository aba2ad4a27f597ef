// linear_int8 for AVX-512 VNNI: dpbusd over the weights where they lie.
#include "kernels/kernel_list.h"
#include "kernels/linear_panel_avx512.h"

namespace hotaru {
namespace {

constexpr size_t kFewTokens = 8;    // up to here weights are streamed with prefetch
constexpr size_t kChunkTokens = 4;  // a second chunk finds the weights in the cache
constexpr size_t kPrefetchBytes = 4096;

// kStreams blocks at once, each read front to back.
template <int kTokens, int kStreams>
void stream_blocks(const PanelJob& job, const int8_t* weight, size_t first_token, const size_t (&block)[kStreams]) {
  __m512i sums[kStreams][kTokens] = {};
  const uint8_t* u = job.input + first_token * job.inputs;
  for (size_t k = 0; k < job.inputs; k += kInputsPerStep) {
    HOTARU_UNROLL(2)
    for (size_t s = 0; s < kStreams; s++) {
      const int8_t* step = weight + (block[s] * job.inputs + k) * kRowsPerBlock;
      _mm_prefetch(reinterpret_cast<const char*>(step + kPrefetchBytes), _MM_HINT_T1);
      const __m512i weights = _mm512_loadu_si512(step);
      HOTARU_UNROLL(4)
      for (size_t t = 0; t < kTokens; t++) {
        sums[s][t] = _mm512_dpbusd_epi32(sums[s][t], broadcast_inputs_512(u + t * job.inputs + k), weights);
      }
    }
  }
  __m512i done[kTokens][kStreams];
  HOTARU_UNROLL(4)
  for (size_t t = 0; t < kTokens; t++) {
    HOTARU_UNROLL(2)
    for (size_t s = 0; s < kStreams; s++) done[t][s] = sums[s][t];
  }
  store_blocks_512<kTokens, kStreams>(job.to, first_token, block, done);
}

template <int kStreams>
void stream_all_tokens(const PanelJob& job, const int8_t* weight, const size_t (&block)[kStreams]) {
  size_t t = 0;
  for (; t + kChunkTokens <= job.tokens; t += kChunkTokens)
    stream_blocks<kChunkTokens, kStreams>(job, weight, t, block);
  const size_t rest = job.tokens - t;
  if (rest == 1) stream_blocks<1, kStreams>(job, weight, t, block);
  if (rest == 2) stream_blocks<2, kStreams>(job, weight, t, block);
  if (rest == 3) stream_blocks<3, kStreams>(job, weight, t, block);
}

// Two streams, one through each half of the slice: more memory requests in flight than one.
void few_rows(const PanelJob& job, const int8_t* weight, Slice::Range blocks) {
  const size_t half = (blocks.end - blocks.begin) / 2;
  for (size_t i = 0; i < half; i++) stream_all_tokens<2>(job, weight, {blocks.begin + i, blocks.begin + half + i});
  for (size_t block = blocks.begin + 2 * half; block < blocks.end; block++) stream_all_tokens<1>(job, weight, {block});
}

void many_rows(const PanelJob& job, const int8_t* weight, Slice::Range blocks) {
  const size_t block_bytes = job.inputs * kRowsPerBlock;
  const PanelPart whole = {0, job.inputs, nullptr};
  size_t block = blocks.begin;
  for (; block + 2 <= blocks.end; block += 2) {
    const int8_t* panel = weight + block * block_bytes;
    const size_t bytes = block + 4 <= blocks.end ? block_bytes : 0;
    panel_all_tokens_512<2>(job, whole, {block, block + 1}, {panel, panel + block_bytes},
                            {{panel + 2 * block_bytes, panel + 3 * block_bytes}, bytes});
  }
  if (block < blocks.end) panel_all_tokens_512<1>(job, whole, {block}, {weight + block * block_bytes}, {{nullptr}, 0});
}

}  // namespace

void linear_int8_avx512_vnni(const LinearInt8Args& args, Slice slice) {
  const auto outputs = static_cast<size_t>(args.outputs);
  const PanelJob job = {static_cast<size_t>(args.tokens),
                        static_cast<size_t>(args.inputs),
                        args.input,
                        {outputs, args.offset, args.scale, nullptr, args.output, false}};
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  if (job.tokens <= kFewTokens) {
    few_rows(job, args.weight, blocks);
  } else {
    many_rows(job, args.weight, blocks);
  }
}

}  // namespace hotaru
