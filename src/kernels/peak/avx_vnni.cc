// vpdpbusd on 256 bits.
#include "kernels/peak/peak.h"
#include "kernels/peak/vector_peak.h"

namespace hotaru {

uint64_t peak_avx_vnni(uint64_t rounds) {
  return vector_peak<12>(rounds, _mm256_set1_epi8(1), _mm256_set1_epi8(2),
                         [](__m256i sum, __m256i u, __m256i w) { return _mm256_dpbusd_avx_epi32(sum, u, w); });
}

}  // namespace hotaru
