// tdpbusd on full tiles: 16 x 16 sums of 64 products.
#include "kernels/peak/peak.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

uint64_t peak_amx(uint64_t rounds) {
  constexpr int kSteps = 80;
  constexpr uint64_t kTileProducts = uint64_t{16} * 16 * 64;
  for (uint64_t step = 0; step < rounds * kSteps; step++) {
    _tile_dpbusd(0, 4, 6);
    _tile_dpbusd(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbusd(3, 5, 7);
  }
  return rounds * kSteps * 4 * kTileProducts;
}

}  // namespace hotaru
