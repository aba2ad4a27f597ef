// The memory plan: where every buffer lies in the activation arena, and how much of everything the device will hold.
#pragma once

#include "base/result.h"
#include "format/hef_generated.h"

namespace hotaru {

// Fills the offsets of all programs' buffers (two buffers share bytes when they never hold something at the same time;
// the residual stream stays at 0, what programs share follows) and meta.memory. `weight_bytes` is the length of the
// WEIGHTS section; the tensors are listed in meta.
Result<void> plan_memory(fb::HefT& meta, uint64_t weight_bytes);

}  // namespace hotaru
