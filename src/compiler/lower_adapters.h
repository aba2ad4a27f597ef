// Adapters of a HAR as a HEF's programs see them: linears that read one value were fused, so an addition to a linear of
// the graph becomes one to some outputs of a call.
#pragma once

#include <vector>

#include "base/result.h"
#include "compiler/optimised_model.h"
#include "format/hef_generated.h"

namespace hotaru {

// Puts the model's adapters into `meta`, section i for the i-th. Sites that are not linears of the graph, or of other
// sizes: an error.
Result<void> lower_adapters(const OptimisedModel& model, fb::HefT& meta);

// What the adapters take of the device's memory: their sections, and the vectors that it makes from them.
uint64_t adapter_memory_bytes(const fb::HefT& meta);

}  // namespace hotaru
