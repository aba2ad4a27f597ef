#include "genai/text_reader.h"

#include <cmath>
#include <utility>

#include "base/check.h"
#include "genai/logprobs.h"
#include "genai/reply_channel.h"

namespace hotaru {

void ReadingTicket::abort() const { channel_->abort(); }

TextReader::TextReader(ReadingRequest request, size_t prefix_tokens)
    : request_(std::move(request)), prefix_tokens_(prefix_tokens) {
  if (wants_scores()) reading_.scores.resize(request_.ids.size());
}

// Nothing is read behind the last token but the embedding.
std::vector<int32_t> TextReader::stored_ids() const {
  const bool stores_last = request_.wants_embedding || text().size() == 1;
  const std::span<const int32_t> stored = stores_last ? text() : text().first(text().size() - 1);
  return {stored.begin(), stored.end()};
}

bool TextReader::wants_logits(int position) const {
  const auto at = static_cast<size_t>(position);
  return wants_scores() && at >= next_position_ && at + 1 < text().size();
}

void TextReader::accept_logits(int position, std::span<const float> logits) {
  CHECK_EQ(static_cast<size_t>(position), next_position_);
  next_position_++;
  reading_.scores[prefix_tokens_ + next_position_] = score_token(logits, text()[next_position_], request_.top_logprobs);
}

bool TextReader::wants_hidden(int position) const {
  return request_.wants_embedding && static_cast<size_t>(position) + 1 == text().size();
}

// Each step is correctly rounded and in one order: the same bits everywhere.
void TextReader::accept_hidden(std::span<const float> hidden) {
  double squares = 0;
  for (const float x : hidden) squares += static_cast<double>(x) * static_cast<double>(x);
  const double length = std::sqrt(squares);
  reading_.embedding.assign(hidden.begin(), hidden.end());
  if (length == 0) return;
  for (float& x : reading_.embedding) x = static_cast<float>(static_cast<double>(x) / length);
}

void TextReader::finish(std::optional<Error> error) {
  if (!request_.on_done) return;
  if (error) {
    request_.on_done(*std::move(error));
  } else {
    request_.on_done(std::move(reading_));
  }
}

}  // namespace hotaru
