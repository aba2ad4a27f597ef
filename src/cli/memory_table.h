// The memory plan of a HEF for people and for scripts.
#pragma once

#include <string>

#include "base/json.h"
#include "format/hef_generated.h"

namespace hotaru::cli {

// {"weights", "kv", "activations", "adapters", "total"}: bytes. Rope tables and one thread's workspace count as
// activations, so that the parts add up.
Json memory_json(const fb::MemoryPlanT& memory);
// One line a part, with its share.
std::string memory_table(const fb::MemoryPlanT& memory);

}  // namespace hotaru::cli
