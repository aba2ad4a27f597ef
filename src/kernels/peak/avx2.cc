// vpmaddubsw and vpaddw: an 8-bit product is never less than these two.
#include "kernels/peak/peak.h"
#include "kernels/peak/vector_peak.h"

namespace hotaru {

uint64_t peak_avx2(uint64_t rounds) {
  return vector_peak<12>(rounds, _mm256_set1_epi8(1), _mm256_set1_epi8(2), [](__m256i sum, __m256i u, __m256i w) {
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(u, w));
  });
}

}  // namespace hotaru
