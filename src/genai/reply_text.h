// A reply's ids as text: valid UTF-8 in pieces that are final, up to the first stop string.
#pragma once

#include <cstdint>
#include <span>
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
  // Goes on with a reply that was cut after the ids `earlier`: what went out with them, and at the cut, does not again.
  static Result<ReplyText> resume(const Tokenizer& tokenizer, DetokenizerOptions options,
                                  const std::vector<std::string>& stop, std::span<const int32_t> earlier);

  // The text that may go out with this token; often empty.
  Result<std::string> push(int32_t id);
  // What is held back at the end of a reply that no stop string ended.
  Result<std::string> finish();
  [[nodiscard]] bool stopped() const { return stop_strings_.stopped(); }
  // The stop string that was found; empty while stopped() is false.
  [[nodiscard]] const std::string& matched() const { return stop_strings_.matched(); }

 private:
  ReplyText(Detokenizer detokenizer, StopStrings stop_strings)
      : detokenizer_(std::move(detokenizer)), stop_strings_(std::move(stop_strings)) {}
  [[nodiscard]] std::string without_known(std::string text);
  Detokenizer detokenizer_;
  StopStrings stop_strings_;
  std::string known_;  // what went out at the cut although it was held back, and has not come again yet
};

}  // namespace hotaru
