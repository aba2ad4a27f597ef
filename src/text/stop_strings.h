// Finds stop strings in a text that arrives in pieces. A stop string is found wherever the pieces are cut, and neither
// it nor anything after it is emitted; text that may be the beginning of one is held back.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hotaru {

class StopStrings {
 public:
  // Empty strings are ignored: they would stop before the first character.
  explicit StopStrings(std::vector<std::string> stops);

  // The text that may go out now. The stop string that is complete first wins; of several that are complete at the
  // same character, the longest. So the result does not depend on how the text is cut into pieces.
  std::string push(std::string_view piece);
  // What is still held back, when the text ended without a stop string.
  std::string finish();

  [[nodiscard]] bool stopped() const { return !matched_.empty(); }
  // The stop string that was found; empty while stopped() is false.
  [[nodiscard]] const std::string& matched() const { return matched_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;  // Not emitted yet: a proper prefix of some stop string, between calls.
  std::string matched_;
};

}  // namespace hotaru
