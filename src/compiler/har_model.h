// The graph in a HAR's meta, both ways.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/optimised_model.h"
#include "format/har.h"

namespace hotaru {

// What a reader of the graph's HAR or HEF must know (format/features.h).
std::vector<std::string> required_features(const Graph& graph);

// Graph, parameters and nodes; the caller adds identity, quantisation, generation and tensors.
fb::HarT har_meta(const Graph& graph, const std::vector<StoredParameter>& stored);

// The model of an opened HAR, its graph verified. `har` outlives the result.
Result<OptimisedModel> load_model(const HarFile& har);

}  // namespace hotaru
