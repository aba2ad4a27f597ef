// Adapters of a HEF against its programs: every site is a linear of every body program or of the output program, sizes
// agree, integers cannot overflow, and no two sites of an adapter add to the same output.
#pragma once

#include "base/result.h"
#include "format/hef_generated.h"

namespace hotaru {

// Expects programs and adapters' tensors that were checked before.
Result<void> check_adapter_sites(const fb::Hef& meta);

}  // namespace hotaru
