// Processors without tiles. kernel_set never asks for them there.
#include "kernels/tile_config/tile_config.h"

#if !defined(__x86_64__)
namespace hotaru {
void load_tile_config() {}
void release_tiles() {}
}  // namespace hotaru
#endif
