#include "server/openai/completion_writer.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "server/openai/chat_writer.h"
#include "server/openai/server_sent_events.h"
#include "server/request/errors.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kPath = "/v1/completions";

std::string_view reason_of(const Reply& reply) {
  const bool is_cut = reply.status == ReplyStatus::kMaxTokens || reply.status == ReplyStatus::kContextFull;
  return is_cut ? "length" : "stop";
}

// A stream that came in one piece: one chunk for each choice.
std::string whole_stream(const CompletionAnswer& answer, Json choices, const Json& usage) {
  std::string bytes;
  Json json = answer.head();
  if (answer.includes_usage) json["usage"] = nullptr;
  for (Json& choice : choices) {
    json["choices"] = Json::array({std::move(choice)});
    bytes += data_event(json);
  }
  if (answer.includes_usage) {
    json["choices"] = Json::array();
    json["usage"] = usage;
    bytes += data_event(json);
  }
  return bytes + "data: [DONE]\n\n";
}

}  // namespace

Json CompletionAnswer::head() const {
  Json json;
  json["id"] = id;
  json["object"] = "text_completion";
  json["created"] = created;
  json["model"] = model;
  json["system_fingerprint"] = "fp_hotaru";
  json["choices"] = Json::array();
  return json;
}

Json CompletionAnswer::choice(int index, std::string text, Json logprobs, Json finish_reason) {
  Json json;
  json["text"] = std::move(text);
  json["index"] = index;
  json["logprobs"] = std::move(logprobs);
  json["finish_reason"] = std::move(finish_reason);
  return json;
}

std::string prompt_text(const RawPrompt& prompt, const LanguageModel* model) {
  if (const auto* text = std::get_if<TextPrompt>(&prompt)) return text->text;
  const Tokenizer* tokenizer = model != nullptr ? model->tokenizer() : nullptr;
  if (tokenizer == nullptr) return {};
  auto text = tokenizer->decode(std::get<IdsPrompt>(prompt).ids, false);
  return text ? *std::move(text) : std::string();
}

HttpResponse completion_response(const CompletionAnswer& answer, std::vector<CompletionPart> parts) {
  Json json = answer.head();
  Json choices = Json::array();
  ReplyWriter::Start start;
  int tokens = 0;
  for (CompletionPart& part : parts) {
    start.prompt_tokens += part.prompt_tokens;
    start.reused_tokens += part.reused_tokens;
    tokens += part.tokens;
    for (CompletionPart::Choice& choice : part.choices) {
      choices.push_back(CompletionAnswer::choice(static_cast<int>(choices.size()), part.prompt + choice.text,
                                                 std::move(choice.logprobs), std::move(choice.finish_reason)));
    }
  }
  const Json usage = openai_usage(start, tokens, 0);
  HttpResponse response;
  if (answer.streams) {
    response.content_type = kEventStream;
    response.body = whole_stream(answer, std::move(choices), usage);
  } else {
    json["choices"] = std::move(choices);
    json["usage"] = usage;
    response.body = json_line(json);
  }
  return response;
}

CompletionWriter::CompletionWriter(CompletionAnswer answer, RawPrompt prompt,
                                   std::function<void(CompletionPart)> on_part)
    : answer_(std::move(answer)),
      prompt_(std::move(prompt)),
      on_part_(std::move(on_part)),
      samples_(static_cast<size_t>(answer_.samples)) {}

void CompletionWriter::on_start(const Start& start) {
  start_ = start;
  if (answer_.echoes || answer_.logprobs >= 0) prompt_text_ = prompt_text(prompt_, start.language_model);
  for (Sample& sample : samples_) {
    sample.logprobs = CompletionLogprobs(characters(prompt_text_), answer_.logprobs > 0);
  }
}

std::string CompletionWriter::chunk(int index, std::string text, Json logprobs, Json finish_reason) const {
  Json json = answer_.head();
  json["choices"].push_back(
      CompletionAnswer::choice(index, std::move(text), std::move(logprobs), std::move(finish_reason)));
  if (answer_.includes_usage) json["usage"] = nullptr;
  return data_event(json);
}

std::string CompletionWriter::begin(int index) {
  const bool has_begun = std::exchange(samples_[static_cast<size_t>(index)].has_begun, true);
  return has_begun || !answer_.echoes ? std::string() : chunk(index, prompt_text_, nullptr, nullptr);
}

std::string CompletionWriter::on_delta(const Delta& delta) {
  Sample& sample = samples_[static_cast<size_t>(delta.sample)];
  const ReplyPiece& piece = delta.piece;
  sample.text += piece.text;
  sample.logprob_sum += static_cast<double>(piece.logprob);
  const LanguageModel* model = start_.language_model;
  // The end of a text too: lm-evaluation-harness counts on a generated token behind the prompt's.
  if (answer_.logprobs >= 0 && model != nullptr && piece.id >= 0) {
    sample.logprobs.add(*model, piece.id, static_cast<double>(piece.logprob), piece.top);
  }
  if (!answer_.streams) return {};
  std::string bytes = begin(delta.sample);
  Json logprobs = sample.logprobs.empty() ? Json(nullptr) : sample.logprobs.take();
  if (!piece.text.empty() || !logprobs.is_null()) {
    bytes += chunk(delta.sample, piece.text, std::move(logprobs), nullptr);
  }
  return bytes;
}

std::string CompletionWriter::on_end(const End& end) {
  Sample& sample = samples_[static_cast<size_t>(end.sample)];
  sample.tokens = static_cast<int>(end.reply.token_ids.size());
  sample.finish_reason = reason_of(end.reply);
  sample.error = end.error;
  if (!answer_.streams) return {};
  if (end.error) return data_event(openai_stream_error(*end.error));
  return begin(end.sample) + chunk(end.sample, "", nullptr, sample.finish_reason);
}

const Error* CompletionWriter::error() const {
  const auto failed = std::ranges::find_if(samples_, [](const Sample& sample) { return sample.error.has_value(); });
  return failed == samples_.end() ? nullptr : &*failed->error;
}

std::string CompletionWriter::finish() {
  if (!answer_.streams || error() != nullptr) return {};
  std::string bytes;
  if (answer_.includes_usage) {
    const CompletionPart all = part();
    Json json = answer_.head();
    json["usage"] = openai_usage(start_, all.tokens, 0);
    bytes += data_event(json);
  }
  return bytes + "data: [DONE]\n\n";
}

CompletionPart CompletionWriter::part() {
  CompletionPart part;
  if (answer_.echoes) part.prompt = prompt_text_;
  part.prompt_tokens = start_.prompt_tokens;
  part.reused_tokens = start_.reused_tokens;
  std::vector<size_t> order(samples_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const auto likelihood = [this](size_t i) { return samples_[i].logprob_sum / std::max(samples_[i].tokens, 1); };
  if (answer_.choices < answer_.samples) std::ranges::stable_sort(order, std::greater(), likelihood);
  for (const Sample& sample : samples_) part.tokens += sample.tokens;
  for (size_t i = 0; i < static_cast<size_t>(answer_.choices); i++) {
    Sample& sample = samples_[order[i]];
    part.choices.push_back(
        {sample.text, answer_.logprobs >= 0 ? sample.logprobs.take() : Json(nullptr), sample.finish_reason});
  }
  return part;
}

HttpResponse CompletionWriter::response() {
  if (const Error* failed = error()) return error_response(kPath, *failed);
  if (!on_part_) return completion_response(answer_, {part()});
  on_part_(part());
  return {};
}

}  // namespace hotaru::server
