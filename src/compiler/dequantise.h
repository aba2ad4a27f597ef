// The float model that a HAR's codes stand for: what quantising weights alone costs, and what a device's integer
// arithmetic must come close to.
#pragma once

#include "base/result.h"
#include "compiler/optimised_model.h"
#include "compiler/weights.h"

namespace hotaru {

// The model's graph, every parameter's `values` filled from its stored form; no checkpoint is needed to play it.
Result<Graph> dequantised_graph(const OptimisedModel& model);

// The same with vectors only; matrices are read as needed, a layer's at a time: `model` outlives both.
Result<Graph> streamed_graph(const OptimisedModel& model);
ParameterSource::RowReader stored_rows(const OptimisedModel& model);

}  // namespace hotaru
