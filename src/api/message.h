// A message as a caller writes it, checked.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "genai/conversation.h"

namespace hotaru {

// Each a JSON object with `role` (a string that is not empty) and `content` (a string, a list or null). Errors name the
// message, counted from 1, and the field.
Result<std::vector<PromptPart>> parse_messages(const std::vector<std::string>& messages);

}  // namespace hotaru
