#include "kernels/tile_config/tile_config.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {
namespace {

// Intel SDM, LDTILECFG: the 64 bytes in memory.
struct alignas(64) TileConfig {
  unsigned char palette;
  unsigned char start_row;
  unsigned char reserved[14];
  unsigned short bytes_per_row[16];
  unsigned char rows[16];
};

constexpr TileConfig kFullTiles = {
    1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16},
};

}  // namespace

void load_tile_config() { _tile_loadconfig(&kFullTiles); }
void release_tiles() { _tile_release(); }

}  // namespace hotaru
