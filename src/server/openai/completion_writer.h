// The answer of POST /v1/completions to one prompt: chunks of a stream, or its choices.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/json.h"
#include "server/openai/completion_logprobs.h"
#include "server/openai/completion_request.h"
#include "server/reply/reply_task.h"

namespace hotaru::server {

struct CompletionAnswer {
  std::string id;
  int64_t created = 0;  // Unix seconds
  std::string model;    // as the request names it
  int samples = 1;
  int choices = 1;  // of the samples
  int logprobs = -1;
  bool echoes = false;
  bool streams = false;
  bool includes_usage = false;

  [[nodiscard]] Json head() const;
  // A choice as it stands in a stream or in an answer.
  [[nodiscard]] static Json choice(int index, std::string text, Json logprobs, Json finish_reason);
};

// What became of one prompt.
struct CompletionPart {
  std::string prompt;  // as text, if it is echoed
  int prompt_tokens = 0, reused_tokens = 0;
  int tokens = 0;  // of all samples
  struct Choice {
    std::string text;
    Json logprobs;  // null when none are wanted
    std::string finish_reason;
  };
  std::vector<Choice> choices;
};

// As it is echoed: ids as the text that they are.
std::string prompt_text(const RawPrompt& prompt, const LanguageModel* model);
// The whole answer.
HttpResponse completion_response(const CompletionAnswer& answer, std::vector<CompletionPart> parts);

class CompletionWriter : public ReplyWriter {
 public:
  // With `on_part` the answer in one piece goes there and response() is empty.
  CompletionWriter(CompletionAnswer answer, RawPrompt prompt, std::function<void(CompletionPart)> on_part = {});
  void on_start(const Start& start) override;
  std::string on_delta(const Delta& delta) override;
  std::string on_end(const End& end) override;
  std::string finish() override;
  HttpResponse response() override;

 private:
  struct Sample {
    std::string text;
    CompletionLogprobs logprobs;
    double logprob_sum = 0;
    int tokens = 0;
    std::string finish_reason;
    std::optional<Error> error;
    bool has_begun = false;
  };
  [[nodiscard]] std::string chunk(int index, std::string text, Json logprobs, Json finish_reason) const;
  std::string begin(int index);
  [[nodiscard]] CompletionPart part();
  [[nodiscard]] const Error* error() const;

  CompletionAnswer answer_;
  RawPrompt prompt_;
  std::function<void(CompletionPart)> on_part_;
  Start start_;
  std::string prompt_text_;
  std::vector<Sample> samples_;
};

}  // namespace hotaru::server
