// Structural checks of a HAR's graph: ids in range, parameters' tensors of the right kind and size, numbers finite.
#pragma once

#include "base/result.h"
#include "format/har_generated.h"

namespace hotaru {

// Expects a meta whose shape and tensors were checked before. What a graph means is verified by graph/ (verify()).
Result<void> check_graph(const fb::Har& meta);

}  // namespace hotaru
