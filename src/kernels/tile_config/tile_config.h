// The one tile configuration of all AMX kernels: eight tiles of 16 rows x 64 bytes. Loaded once per thread and job, so
// that no kernel pays for it; kernels handle smaller shapes by overlapping or padding.
#pragma once

namespace hotaru {

void load_tile_config();
void release_tiles();

}  // namespace hotaru
