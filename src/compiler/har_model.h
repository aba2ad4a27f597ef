// The graph in a HAR's meta, both ways.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "compiler/optimised_model.h"
#include "format/har.h"

namespace hotaru {

// Graph, parameters and nodes; the caller adds identity, quantisation, generation and tensors.
fb::HarT har_meta(const Graph& graph, const std::vector<StoredParameter>& stored);

// The model of an opened HAR, its graph verified. `har` outlives the result.
Result<OptimisedModel> load_model(const HarFile& har);

}  // namespace hotaru
