// A reply's ids as text: valid UTF-8 in pieces that are final, up to the first stop string.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "text/detokenizer.h"
#include "text/stop_strings.h"

namespace hotaru {

class ReplyText {
 public:
  static Result<ReplyText> create(const Tokenizer& tokenizer, DetokenizerOptions options,
                                  const std::vector<std::string>& stop);

  // The text that may go out with this token; often empty.
  Result<std::string> push(int32_t id);
  // What is held back at the end of a reply that no stop string ended.
  Result<std::string> finish();
  [[nodiscard]] bool stopped() const { return stop_strings_.stopped(); }

 private:
  ReplyText(Detokenizer detokenizer, StopStrings stop_strings)
      : detokenizer_(std::move(detokenizer)), stop_strings_(std::move(stop_strings)) {}
  Detokenizer detokenizer_;
  StopStrings stop_strings_;
};

}  // namespace hotaru
