// Lowering: the graph of an optimised model becomes programs of kernel calls. Projections of one input are fused (q, k,
// v; gate, up), additions go into the linear before them, static input scales into the scale and offset vectors.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/result.h"
#include "compiler/optimised_model.h"
#include "compiler/tensor_section.h"
#include "format/hef_generated.h"

namespace hotaru {

// Tokens of a step at most; a device may take fewer.
inline constexpr uint32_t kPrefillRows = 256;
inline constexpr uint32_t kTbtRows = 8;  // contexts that decode together
inline constexpr uint32_t kHeadRows = 8;
inline constexpr int64_t kDefaultContext = 2048;

// A tensor of the HEF: bytes made here, or those of the model's tensors one after the other (packed blocks of 16 rows
// concatenate).
struct LoweredTensor {
  TensorHeader header;
  std::vector<int> stored;
  std::vector<std::byte> bytes;
};

// Programs without buffer offsets (plan_memory), a meta without tensors (written by hef_output).
struct LoweredModel {
  fb::HefT meta;
  std::vector<LoweredTensor> tensors;
};

// What the kernels ask of a model's sizes; the optimiser asks it before the work, too.
Result<void> check_sizes(const GraphShape& shape);

// `context_tokens` 0: the smaller of kDefaultContext and the model's positions. More than those is an error.
Result<LoweredModel> lower(const OptimisedModel& model, int64_t context_tokens);

}  // namespace hotaru
