// linear_int8 for AVX-512 VNNI: dpbusd over the weights where they lie.
#include "kernels/kernel_list.h"
#include "kernels/linear_panel_avx512.h"
#include "kernels/linear_stream_x86.h"

namespace hotaru {
namespace {

constexpr size_t kFewTokens = 8;  // up to here weights are streamed

// Weights of few tokens.
struct Streamed {
  static constexpr size_t kChunkTokens = 8;

  const PanelJob& job;
  const int8_t* weight;

  // Each block is read front to back.
  template <size_t kTokens, size_t kBlocks>
  void chunk(const size_t (&block)[kBlocks], size_t first_token, int32_t* to) const {
    __m512i sums[kBlocks][kTokens] = {};
    const uint8_t* u = job.input + first_token * job.inputs;
    for (size_t k = 0; k < job.inputs; k += kInputsPerStep) {
      HOTARU_UNROLL(2)
      for (size_t b = 0; b < kBlocks; b++) {
        const int8_t* step = weight + (block[b] * job.inputs + k) * kRowsPerBlock;
        ask_ahead(step);
        const __m512i weights = _mm512_loadu_si512(step);
        HOTARU_UNROLL(8)
        for (size_t t = 0; t < kTokens; t++) {
          sums[b][t] = _mm512_dpbusd_epi32(sums[b][t], broadcast_inputs_512(u + t * job.inputs + k), weights);
        }
      }
    }
    keep_sums(sums, job.tokens, first_token, to);
  }
};

void many_rows(const PanelJob& job, const int8_t* weight, Slice::Range blocks) {
  const size_t block_bytes = job.inputs * kRowsPerBlock;
  const PanelPart whole = {0, job.inputs, nullptr};
  const StoreRows512 store = {job.to};
  size_t block = blocks.begin;
  for (; block + 2 <= blocks.end; block += 2) {
    const int8_t* panel = weight + block * block_bytes;
    const size_t bytes = block + 4 <= blocks.end ? block_bytes : 0;
    const Panels<2> panels = {
        {block, block + 1}, {panel, panel + block_bytes}, {panel + 2 * block_bytes, panel + 3 * block_bytes}, bytes};
    panel_all_tokens_512(job, whole, panels, store);
  }
  if (block == blocks.end) return;
  panel_all_tokens_512(job, whole, Panels<1>{{block}, {weight + block * block_bytes}, {nullptr}, 0}, store);
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
    stream_slice<2>(job.to, job.tokens, blocks, Streamed{job, args.weight});
  } else {
    many_rows(job, args.weight, blocks);
  }
}

}  // namespace hotaru
