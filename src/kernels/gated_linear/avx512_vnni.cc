// gated_linear for AVX-512 VNNI: two blocks of gates and the two of their values are multiplied together; their
// products are coded from the sums, so that no float is stored.
#include "kernels/gated_512.h"
#include "kernels/kernel_list.h"
#include "kernels/linear_int4/folded_panels_avx512.h"

namespace hotaru {
namespace {

constexpr size_t kUnitBlocks = 4;  // four blocks of 16 channels fill a line of codes: threads share none
constexpr size_t kGates = 2;       // blocks of them at once, and as many of values

struct StoreProducts {
  const LinearOutput& linear;
  const SwiGluArgs& to;

  // Two tokens a time; the last one alone if their number is odd.
  template <int kTokens>
  void operator()(size_t first_token, const size_t (&block)[2 * kGates],
                  const __m512i (&sums)[kTokens][2 * kGates]) const {
    uint8_t* out = to.output.low + first_token * to.output_stride + block[0] * kRowsPerBlock;
    for (size_t t = 0; t < kTokens; t += 2, out += 2 * to.output_stride) {
      const bool is_pair = t + 1 < kTokens;
      const __m512i codes = products(block, sums[t], sums[is_pair ? t + 1 : t]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm512_castsi512_si256(codes));
      if (!is_pair) return;
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + to.output_stride), _mm512_extracti64x4_epi64(codes, 1));
    }
  }

 private:
  // 32 codes of each token.
  [[nodiscard]] __m512i products(const size_t (&block)[2 * kGates], const __m512i (&first)[2 * kGates],
                                 const __m512i (&second)[2 * kGates]) const {
    static_assert(2 * kGates == kGated);
    Vectors512 gate, up;
    HOTARU_UNROLL(2)
    for (size_t b = 0; b < kGates; b++) {
      const size_t gates = block[b] * kRowsPerBlock;
      const size_t values = block[kGates + b] * kRowsPerBlock;
      gate[b] = finish_16_rows(linear, gates, first[b]);
      gate[kGates + b] = finish_16_rows(linear, gates, second[b]);
      up[b] = finish_16_rows(linear, values, first[kGates + b]);
      up[kGates + b] = finish_16_rows(linear, values, second[kGates + b]);
    }
    return gated_codes(gate, up, to.inverse_scale, to.zero_point);
  }
};

}  // namespace

void gated_linear_avx512_vnni(const GatedLinearArgs& args, Slice slice) {
  const LinearInt4Args& linear = args.linear;
  const PanelJob job = {
      static_cast<size_t>(linear.tokens),
      static_cast<size_t>(linear.inputs),
      linear.input,
      {static_cast<size_t>(linear.outputs), linear.offset, linear.scale, linear.bias, nullptr, false}};
  const size_t partner = static_cast<size_t>(args.swiglu.width) / kRowsPerBlock;
  const Slice::Range units = slice.range(partner / kUnitBlocks);
  const FoldedPanels panels = {job, linear.weight, linear.workspace};
  const StoreProducts store = {job.to, args.swiglu};
  for (size_t block = units.begin * kUnitBlocks; block < units.end * kUnitBlocks; block += kGates) {
    panels.multiply({block, block + 1, partner + block, partner + block + 1}, kGates, store);
  }
}

}  // namespace hotaru
