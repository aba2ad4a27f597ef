#include "kernels/peak/peak.h"

namespace hotaru {

uint64_t peak_multiply_adds([[maybe_unused]] Isa isa, [[maybe_unused]] uint64_t rounds) {
#if defined(__x86_64__)
  if (isa == Isa::kAvx2) return peak_avx2(rounds);
  if (isa == Isa::kAvxVnni) return peak_avx_vnni(rounds);
  if (isa == Isa::kAvx512Vnni) return peak_avx512_vnni(rounds);
  if (isa == Isa::kAmx) return peak_amx(rounds);
#endif
  return 0;
}

}  // namespace hotaru
