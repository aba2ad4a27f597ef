// A reply that was cut (by max_tokens, an abort, a full context), as far as it needs to go on with exactly the tokens
// that it would have had. The sampler's state is (seed, generated ids), and the text's follows from the ids.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "genai/generation.h"
#include "text/grammar.h"

namespace hotaru {

struct CutReply {
  SamplingParams sampling;
  std::vector<int32_t> stop_ids;
  std::vector<int32_t> recovery_ids;
  std::vector<std::string> stop;  // stop strings
  bool continues_text = false;
  std::optional<GrammarSpec> grammar;  // that the reply obeys
  std::vector<int32_t> generated;      // since the reply's beginning
  int recovery_tokens = 0;             // at the context's end, to be dropped before the reply goes on
};

}  // namespace hotaru
