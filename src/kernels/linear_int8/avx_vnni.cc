// linear_int8 for AVX-VNNI (256 bits): dpbusd over the weights where they lie.
#include "kernels/kernel_list.h"
#include "kernels/linear_panel_avx_vnni.h"
#include "kernels/linear_stream_x86.h"

namespace hotaru {
namespace {

constexpr size_t kFewTokens = 8;  // up to here weights are streamed

// Weights of few tokens.
struct Streamed {
  static constexpr size_t kChunkTokens = 4;

  const PanelJob& job;
  const int8_t* weight;

  // Each block is read front to back.
  template <size_t kTokens, size_t kBlocks>
  void chunk(const size_t (&block)[kBlocks], size_t first_token, int32_t* to) const {
    const uint8_t* u = job.input + first_token * job.inputs;
    BlockVectors sums[kBlocks][kTokens] = {};
    for (size_t k = 0; k < job.inputs; k += kInputsPerStep) {
      HOTARU_UNROLL(2)
      for (size_t b = 0; b < kBlocks; b++) {
        const int8_t* step = weight + (block[b] * job.inputs + k) * kRowsPerBlock;
        ask_ahead(step);
        const BlockVectors weights = load_block_step(step);
        HOTARU_UNROLL(4)
        for (size_t t = 0; t < kTokens; t++) add_products(sums[b][t], broadcast_32(u + t * job.inputs + k), weights);
      }
    }
    keep_sums(sums, job.tokens, first_token, to);
  }
};

}  // namespace

void linear_int8_avx_vnni(const LinearInt8Args& args, Slice slice) {
  const auto outputs = static_cast<size_t>(args.outputs);
  const PanelJob job = {static_cast<size_t>(args.tokens),
                        static_cast<size_t>(args.inputs),
                        args.input,
                        {outputs, args.offset, args.scale, nullptr, args.output, false}};
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  // Sums of several tokens over two blocks would not fit the 16 registers.
  if (job.tokens == 1) return stream_slice<2>(job.to, 1, blocks, Streamed{job, args.weight});
  if (job.tokens <= kFewTokens) return stream_slice<1>(job.to, job.tokens, blocks, Streamed{job, args.weight});
  const PanelPart whole = {0, job.inputs, nullptr};
  const size_t block_bytes = job.inputs * kRowsPerBlock;
  for (size_t block = blocks.begin; block < blocks.end; block++) {
    const int8_t* weight = args.weight + block * block_bytes;
    panel_all_tokens_256(job, whole, {block, weight, weight + block_bytes, block_bytes});
  }
}

}  // namespace hotaru
