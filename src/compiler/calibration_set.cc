#include "compiler/calibration_set.h"

#include <algorithm>

#include "compiler/calibration_documents.h"
#include "tensor/random.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace hotaru {
namespace {

constexpr int64_t kShortestTail = 64;      // tokens: the rest of a text that is still worth a segment
constexpr size_t kPieceBytes = 64 << 10;   // of text, tokenised at once
constexpr size_t kMessagesPerSegment = 8;  // made from paragraphs of plain text
constexpr int64_t kFewTokens = 2048;

// Collects segments up to a number of them.
class Segments {
 public:
  Segments(CalibrationSet& set, int64_t sequence) : set_(set), sequence_(sequence) {}

  void add(std::span<const int32_t> prefix, std::span<const int32_t> ids) {
    const auto room = static_cast<size_t>(sequence_);
    set_.batch.ids.insert(set_.batch.ids.end(), prefix.begin(), prefix.end());
    const auto kept = ids.first(std::min(ids.size(), room - prefix.size()));
    set_.batch.ids.insert(set_.batch.ids.end(), kept.begin(), kept.end());
    set_.batch.lengths.push_back(static_cast<int64_t>(prefix.size() + kept.size()));
  }
  [[nodiscard]] int64_t count() const { return static_cast<int64_t>(set_.batch.lengths.size()); }

 private:
  CalibrationSet& set_;
  int64_t sequence_;
};

class Loader {
 public:
  Loader(const CalibrationOptions& options, const CalibrationLimits& limits, const TextBundle& text)
      : options_(options), sequence_(std::min(options.sequence, limits.max_positions)), limits_(limits), text_(text) {}

  Result<CalibrationSet> run() {
    TRY_ASSIGN(tokenizer_, Tokenizer::create(text_.tokenizer_json));
    if (tokenizer_.vocabulary_size() > limits_.vocabulary) {
      return invalid("the tokenizer has ids up to {}, the model's vocabulary is {}", tokenizer_.vocabulary_size() - 1,
                     limits_.vocabulary);
    }
    TRY_ASSIGN(const CalibrationDocuments documents, read_calibration_documents(options_.files));
    TRY_ASSIGN(const auto conversations, conversations_of(documents));
    const auto chats = static_cast<int64_t>(conversations.size());
    // Half of the segments each, more of one where there are too few of the other.
    const int64_t for_chats = documents.texts.empty() ? options_.samples : options_.samples / 2;
    Segments segments(set_, sequence_);
    for (int64_t i = 0; i < std::min(chats, for_chats); i++) {
      TRY_ASSIGN(const auto ids, tokenizer_.encode(conversations[static_cast<size_t>(i)]));
      if (!ids.empty()) segments.add({}, ids);
    }
    const int64_t chat_segments = segments.count();
    TRY(add_plain(documents.texts, segments));
    if (segments.count() == 0) return invalid("the calibration text is empty");
    describe(documents, chat_segments);
    return std::move(set_);
  }

 private:
  // Rendered text of every conversation: those of the files, or plain paragraphs as turns.
  Result<std::vector<std::string>> conversations_of(const CalibrationDocuments& documents) {
    std::vector<std::string> rendered;
    std::vector<std::string> messages = documents.conversations;
    const bool is_made_up = messages.empty();
    if (text_.chat_template.empty()) {
      if (!is_made_up) set_.warnings.emplace_back("the model has no chat template: conversations are left out");
      return rendered;
    }
    if (is_made_up) messages = conversations_from(documents.texts, kMessagesPerSegment);
    TRY_ASSIGN(const ChatTemplate chat, ChatTemplate::create(text_));
    for (const std::string& conversation : messages) {
      if (static_cast<int64_t>(rendered.size()) == options_.samples) break;
      // A fixed date: some templates print today's, and the file must not depend on it.
      auto text = chat.render({conversation, false, "", 0});
      if (!text && !is_made_up) return std::move(text).error();
      if (!text) {
        set_.warnings.push_back("calibrating on plain text only: the chat template says: " + text.error().message);
        return std::vector<std::string>();
      }
      rendered.push_back(*std::move(text));
    }
    return rendered;
  }

  // Windows of `sequence` tokens over all texts, each behind BOS if the tokenizer begins texts with it.
  Result<void> add_plain(const std::vector<std::string>& texts, Segments& segments) {
    std::vector<int32_t> prefix;
    if (text_.adds_bos) {
      TRY_ASSIGN(prefix, tokenizer_.encode("", {.add_special_tokens = true}));
      prefix.resize(std::min<size_t>(prefix.size(), 1));
    }
    const auto window = std::max<size_t>(1, static_cast<size_t>(sequence_) - prefix.size());
    std::vector<int32_t> ids;
    for (const std::string& piece : pieces_of(texts, kPieceBytes)) {
      if (segments.count() >= options_.samples) return {};
      TRY_ASSIGN(const auto more, tokenizer_.encode(piece, {.plain = true}));
      ids.insert(ids.end(), more.begin(), more.end());
      size_t used = 0;
      while (ids.size() - used >= window && segments.count() < options_.samples) {
        segments.add(prefix, std::span(ids).subspan(used, window));
        used += window;
      }
      ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(used));
    }
    const bool is_long_enough = static_cast<int64_t>(ids.size()) >= kShortestTail || segments.count() == 0;
    if (is_long_enough && !ids.empty() && segments.count() < options_.samples) segments.add(prefix, ids);
    return {};
  }

  void describe(const CalibrationDocuments& documents, int64_t chat_segments) {
    const auto count = static_cast<int64_t>(set_.batch.lengths.size());
    set_.description = fmt::format("{} tokens of {}: {} segments of plain text, {} through the chat template",
                                   set_.batch.ids.size(), documents.source, count - chat_segments, chat_segments);
    if (static_cast<int64_t>(set_.batch.ids.size()) < kFewTokens) {
      set_.warnings.push_back(
          fmt::format("calibrating on {} tokens only; a few thousand are better", set_.batch.ids.size()));
    }
  }

  const CalibrationOptions& options_;
  const int64_t sequence_;
  const CalibrationLimits limits_;
  const TextBundle& text_;
  Tokenizer tokenizer_;
  CalibrationSet set_;
};

CalibrationSet random_set(const CalibrationOptions& options, const CalibrationLimits& limits) {
  CalibrationSet set;
  const int64_t segments = options.samples;
  const int64_t tokens = std::min(options.sequence, limits.max_positions);
  Random random(options.seed);
  for (int64_t i = 0; i < segments * tokens; i++) {
    set.batch.ids.push_back(static_cast<int32_t>(random.next_below(static_cast<uint32_t>(limits.vocabulary))));
  }
  set.batch.lengths.assign(static_cast<size_t>(segments), tokens);
  set.description = fmt::format("{} random ids, seed {}", segments * tokens, options.seed);
  set.warnings.emplace_back(
      "no tokenizer beside the model: calibrating on random token ids; the HEF will accept token ids only");
  return set;
}

}  // namespace

SegmentBatch thinned(const SegmentBatch& batch, size_t most_tokens) {
  if (batch.ids.size() <= most_tokens) return batch;
  SegmentBatch some;
  const double share = static_cast<double>(most_tokens) / static_cast<double>(batch.ids.size());
  auto first = batch.ids.begin();
  for (const int64_t length : batch.lengths) {
    const auto end = first + length;
    // What was kept is behind its share of what came by.
    if (static_cast<double>(some.ids.size()) <= share * static_cast<double>(first - batch.ids.begin())) {
      some.ids.insert(some.ids.end(), first, end);
      some.lengths.push_back(length);
    }
    first = end;
  }
  return some;
}

Result<CalibrationSet> load_calibration(const CalibrationOptions& options, const CalibrationLimits& limits,
                                        const TextBundle* text) {
  if (options.samples < 1) return invalid("--samples: got {}, want at least 1", options.samples);
  if (options.sequence < 2) return invalid("--sequence: got {}, want at least 2", options.sequence);
  if (text != nullptr) return Loader(options, limits, *text).run();
  if (!options.files.empty()) return invalid("--calibration: the model has no tokenizer to read a text with");
  return random_set(options, limits);
}

SegmentBatch without_prefix(const SegmentBatch& batch, const std::vector<int32_t>& prefix) {
  SegmentBatch rest;
  const auto skipped = static_cast<int64_t>(prefix.size());
  auto begin = batch.ids.begin();
  for (const int64_t length : batch.lengths) {
    const auto end = begin + length;
    if (length >= skipped && std::equal(prefix.begin(), prefix.end(), begin)) begin += skipped;
    if (begin < end) rest.lengths.push_back(end - begin);
    rest.ids.insert(rest.ids.end(), begin, end);
    begin = end;
  }
  return rest;
}

}  // namespace hotaru
