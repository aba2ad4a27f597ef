// The TokenMask of a grammar. A thread of its own computes the mask while the device computes the logits.
#pragma once

#include <memory>

#include "genai/generation.h"
#include "genai/language_model.h"
#include "genai/token_mask.h"
#include "text/grammar.h"

namespace hotaru {

// For one reply. The grammar's vocabulary is the model's.
std::unique_ptr<TokenMask> make_grammar_mask(const Grammar& grammar);

// Replies with these options obey the grammar, and end where it lets them. `options.stop_ids` are set already.
// kInvalid: what is wrong with the grammar; kNotSupported: the model has no tokenizer.
Result<void> obey_grammar(GenerationOptions& options, const GrammarSpec& spec, const LanguageModel& model);

}  // namespace hotaru
