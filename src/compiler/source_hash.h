// What identifies the checkpoint that a HAR was made from.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "model/checkpoint.h"

namespace hotaru {

// SHA-256 of the weights' files in order of their names, then config.json: the same model under any directory name.
Result<std::string> source_hash(const Checkpoint& checkpoint);

// Numbers of the checkpoint's tensors that the graph uses; a tied matrix counts once.
uint64_t parameter_count(const Graph& graph);

}  // namespace hotaru
