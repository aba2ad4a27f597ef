// Log-probabilities as OpenAI writes them.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "genai/language_model.h"
#include "genai/reply.h"

namespace hotaru::server {

// JSON has no infinity; OpenAI writes this for a token that cannot occur.
inline constexpr double kImpossible = -9999.0;
double written_logprob(float logprob);

// What a token adds to a text; may be a part of a character.
std::string token_bytes(const LanguageModel& model, int32_t id);
// The end of a turn or of a text: no part of what was said.
bool is_end_token(const LanguageModel& model, int32_t id);
// UTF-8 as it stands; anything else as the prefix and an escape for each byte: \xe2\x80.
std::string token_text(const std::string& bytes, std::string_view prefix);

// An entry of a chat completion's logprobs.content: token, logprob, bytes, top_logprobs.
Json chat_logprob(const LanguageModel& model, const ReplyPiece& piece);

}  // namespace hotaru::server
