// For tests of writers: a reply that is played to them as run_reply() would, with the demo model's tokenizer.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "genai/fake_device.h"
#include "genai/language_model.h"
#include "genai/scripted_reply.h"
#include "server/reply/reply_task.h"
#include "text/text_bundle.h"

#ifndef HOTARU_SOURCE_DIR  // Defined for test programs; not for the check that headers compile alone.
#define HOTARU_SOURCE_DIR "."
#endif

namespace hotaru::server {

// Speaks the demo model's tokens on a device that is none.
inline const LanguageModel& demo_language_model() {
  static const LanguageModel model = [] {
    const auto bundle = TextBundle::load(std::string(HOTARU_SOURCE_DIR) + "/models/demo");
    LanguageModel::Parts parts;
    parts.name = "demo";
    parts.device = std::make_unique<FakeDevice>(4096);
    parts.tokenizer = *Tokenizer::create(bundle->tokenizer_json);
    parts.chat_template = *ChatTemplate::create(*bundle);
    parts.defaults.eos_ids = {kEndOfTurn};
    return *LanguageModel::from_parts(std::move(parts));
  }();
  return model;
}

inline int32_t token_of(std::string_view text) { return demo_language_model().tokenizer()->encode(text)->front(); }

// Hands a reply to a writer and keeps what a stream would send.
class PlayedReply {
 public:
  explicit PlayedReply(ReplyWriter& writer, int prompt_tokens = 5) : writer_(writer) {
    ReplyWriter::Start start;
    start.model = "demo:latest";
    start.prompt_tokens = prompt_tokens;
    start.reused_tokens = 2;
    start.language_model = &demo_language_model();
    writer_.on_start(start);
  }
  // A token that adds this content.
  PlayedReply& says(std::string_view content, int sample = 0) {
    ReplyWriter::Delta delta;
    delta.output.content = content;
    return plays(std::move(delta), sample);
  }
  PlayedReply& thinks(std::string_view thinking, int sample = 0) {
    ReplyWriter::Delta delta;
    delta.output.thinking = thinking;
    return plays(std::move(delta), sample);
  }
  PlayedReply& calls(std::string name, std::string arguments, int sample = 0) {
    ReplyWriter::Delta delta;
    delta.output.calls.push_back({std::move(name), std::move(arguments)});
    has_calls_ = true;
    return plays(std::move(delta), sample);
  }
  PlayedReply& plays(ReplyWriter::Delta delta, int sample = 0) {
    delta.sample = sample;
    if (delta.piece.text.empty()) delta.piece.text = delta.output.content;
    replies_.resize(std::max(replies_.size(), static_cast<size_t>(sample) + 1));
    Reply& reply = replies_[static_cast<size_t>(sample)];
    if (delta.piece.id >= 0) reply.token_ids.push_back(delta.piece.id);
    reply.text += delta.piece.text;
    events_.push_back(writer_.on_delta(delta));
    return *this;
  }
  PlayedReply& ends(ReplyStatus status = ReplyStatus::kLogicalEnd, int sample = 0) {
    ReplyWriter::End end;
    end.sample = sample;
    replies_.resize(std::max(replies_.size(), static_cast<size_t>(sample) + 1));
    end.reply = replies_[static_cast<size_t>(sample)];
    end.reply.status = status;
    end.has_calls = has_calls_;
    events_.push_back(writer_.on_end(end));
    return *this;
  }
  PlayedReply& fails(Error error, int sample = 0) {
    ReplyWriter::End end;
    end.sample = sample;
    end.error = std::move(error);
    events_.push_back(writer_.on_end(end));
    return *this;
  }
  // All bytes of the stream.
  std::string stream() {
    events_.push_back(writer_.finish());
    std::string all;
    for (const std::string& bytes : events_) all += bytes;
    return all;
  }
  HttpResponse response() {
    writer_.finish();
    return writer_.response();
  }

 private:
  ReplyWriter& writer_;
  std::vector<std::string> events_;
  std::vector<Reply> replies_;
  bool has_calls_ = false;
};

}  // namespace hotaru::server
