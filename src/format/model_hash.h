// Names of what a token's keys, values and logits depend on, for files that hold some of them (context_file.h). Not the
// HEF's content_hash: that also changes with the adapters, the planned context, the tokenizer and the report.
#pragma once

#include <cstdint>

#include "format/hef.h"

namespace hotaru {

// Of the programs' calls, the tensors and the prefix.
uint64_t model_hash(const HefFile& hef);
// Of an adapter of the HEF's meta: its sites and tensors, not its name.
uint64_t adapter_hash(const HefFile& hef, const fb::Adapter& adapter);

}  // namespace hotaru
