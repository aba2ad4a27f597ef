// Rotary position embedding as config.json describes it.
#pragma once

#include "base/json.h"
#include "base/result.h"
#include "model/config.h"

namespace hotaru {

// transformers 5: "rope_parameters" with everything; transformers 4: "rope_theta" and "rope_scaling" with "rope_type"
// or the older "type". Types other than default, linear and llama3 are refused by name.
Result<RopeConfig> parse_rope_config(const Json& json);

}  // namespace hotaru
