// For tests: what a FakeDevice with the demo model's tokenizer says after a chat prompt.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "genai/fake_device.h"
#include "text/tokenizer.h"

namespace hotaru {

inline constexpr int32_t kEndOfTurn = 4095;  // of the demo model's tokenizer

// `script`, then the end of turn. The prompt ends where the template opens the assistant's turn.
inline FakeDevice::Favourite says(const Tokenizer& tokenizer, const std::string& script) {
  const std::vector<int32_t> opening = *tokenizer.encode("assistant\n");
  return [ids = *tokenizer.encode(script), opening](const std::vector<int32_t>& so_far) {
    const auto found = std::find_end(so_far.begin(), so_far.end(), opening.begin(), opening.end());
    if (found == so_far.end()) return kEndOfTurn;
    const auto said = static_cast<size_t>(so_far.end() - found) - opening.size();
    return said < ids.size() ? ids[said] : kEndOfTurn;
  };
}

}  // namespace hotaru
