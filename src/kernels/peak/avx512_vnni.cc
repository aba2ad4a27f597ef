// vpdpbusd on 512 bits.
#include "kernels/peak/peak.h"
#include "kernels/peak/vector_peak.h"

namespace hotaru {

uint64_t peak_avx512_vnni(uint64_t rounds) {
  return vector_peak<24>(rounds, _mm512_set1_epi8(1), _mm512_set1_epi8(2),
                         [](__m512i sum, __m512i u, __m512i w) { return _mm512_dpbusd_epi32(sum, u, w); });
}

}  // namespace hotaru
