// Collects what a reading is made of while its text goes through the device like a prompt: the scheduler asks which
// rows of a step it wants something of. For the device's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "genai/reading.h"

namespace hotaru {

class TextReader {
 public:
  // The first `prefix_tokens` of the request's ids are those that the device stands behind already.
  TextReader(ReadingRequest request, size_t prefix_tokens);

  // What the device must store: positions count from its first id.
  [[nodiscard]] std::vector<int32_t> stored_ids() const;
  [[nodiscard]] bool wants_scores() const { return request_.top_logprobs >= 0; }

  // Logits are accepted in the order of positions. What is stored a second time, after pages were given up, is not
  // wanted again.
  [[nodiscard]] bool wants_logits(int position) const;
  void accept_logits(int position, std::span<const float> logits);
  [[nodiscard]] bool wants_hidden(int position) const;
  void accept_hidden(std::span<const float> hidden);

  // Calls on_done: with the error, or with all that was wanted.
  void finish(std::optional<Error> error);

 private:
  [[nodiscard]] std::span<const int32_t> text() const { return std::span(request_.ids).subspan(prefix_tokens_); }

  ReadingRequest request_;
  size_t prefix_tokens_;
  size_t next_position_ = 0;  // of the logits
  Reading reading_;
};

}  // namespace hotaru
