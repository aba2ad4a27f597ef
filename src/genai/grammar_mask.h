// The TokenMask of a grammar. A thread of its own computes the mask while the device computes the logits.
#pragma once

#include <memory>

#include "genai/token_mask.h"
#include "text/grammar.h"

namespace hotaru {

// For one reply. The grammar's vocabulary is the model's.
std::unique_ptr<TokenMask> make_grammar_mask(const Grammar& grammar);

}  // namespace hotaru
