// linear_int8 for AVX-VNNI (256 bits): dpbusd over the weights where they lie.
#include "kernels/kernel_list.h"
#include "kernels/linear_panel_avx_vnni.h"

namespace hotaru {
namespace {

constexpr size_t kPrefetchBytes = 4096;

// One token, kStreams blocks at once, each read front to back.
template <int kStreams>
void stream_blocks(const PanelJob& job, const int8_t* weight, const size_t (&block)[kStreams]) {
  BlockVectors sums[kStreams];
  HOTARU_UNROLL(2)
  for (size_t s = 0; s < kStreams; s++) sums[s] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (size_t k = 0; k < job.inputs; k += kInputsPerStep) {
    const __m256i inputs = broadcast_32(job.input + k);
    HOTARU_UNROLL(2)
    for (size_t s = 0; s < kStreams; s++) {
      const int8_t* step = weight + (block[s] * job.inputs + k) * kRowsPerBlock;
      _mm_prefetch(reinterpret_cast<const char*>(step + kPrefetchBytes), _MM_HINT_T1);
      add_products(sums[s], inputs, load_block_step(step));
    }
  }
  HOTARU_UNROLL(2)
  for (size_t s = 0; s < kStreams; s++) store_block_256<1>(job.to, 0, block[s], {sums[s]});
}

// Two streams, one through each half of the slice: more memory requests in flight than one.
void one_token(const PanelJob& job, const int8_t* weight, Slice::Range blocks) {
  const size_t half = (blocks.end - blocks.begin) / 2;
  for (size_t i = 0; i < half; i++) stream_blocks<2>(job, weight, {blocks.begin + i, blocks.begin + half + i});
  for (size_t block = blocks.begin + 2 * half; block < blocks.end; block++) stream_blocks<1>(job, weight, {block});
}

}  // namespace

void linear_int8_avx_vnni(const LinearInt8Args& args, Slice slice) {
  const auto outputs = static_cast<size_t>(args.outputs);
  const PanelJob job = {static_cast<size_t>(args.tokens),
                        static_cast<size_t>(args.inputs),
                        args.input,
                        {outputs, args.offset, args.scale, nullptr, args.output, false}};
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  if (job.tokens == 1) {
    one_token(job, args.weight, blocks);
    return;
  }
  const size_t block_bytes = job.inputs * kRowsPerBlock;
  for (size_t block = blocks.begin; block < blocks.end; block++) {
    const int8_t* weight = args.weight + block * block_bytes;
    panel_all_tokens_256(job, block, weight, weight + block_bytes, block_bytes);
  }
}

}  // namespace hotaru
