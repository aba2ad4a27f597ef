#include "server/openai/completion_request.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "server/openai/chat_request.h"
#include "server/openai/response_format.h"
#include "server/openai/sampling_fields.h"

namespace hotaru::server {
namespace {

constexpr size_t kMostPrompts = 256;
constexpr int64_t kMostSamples = 128;
constexpr int64_t kMostLogprobs = 20;
constexpr int kDefaultTokens = 16;  // OpenAI's
constexpr std::string_view kWanted = "want a string, a list of strings, a list of token ids or a list of such lists";

std::vector<int32_t> read_ids(Fields& fields, const std::string& name, const Json& list) {
  std::vector<int32_t> ids;
  if (list.empty()) fields.refuse(name, "got [], want at least one token id");
  for (size_t i = 0; i < list.size(); i++) {
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    const auto id = json_integer_value(list[i], name, 0, kMost);
    if (!id) {
      fields.refuse(fmt::format("{}[{}]", name, i), fmt::format("got {}, want a token id", json_excerpt(list[i])));
      return ids;
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

void read_best_of(Fields& fields, CompletionRequest& request) {
  request.choices = static_cast<int>(fields.integer("n", 1, kMostSamples).value_or(1));
  const auto best_of = fields.integer("best_of", 1, kMostSamples).value_or(request.choices);
  if (best_of < request.choices) {
    fields.refuse("best_of", fmt::format("got {}, want at least n, which is {}", best_of, request.choices));
  }
  if (best_of > request.choices && request.streams) {
    fields.refuse("best_of", "chooses among whole texts, which a stream cannot wait for");
  }
  request.task.samples = static_cast<int>(best_of);
}

}  // namespace

std::vector<RawPrompt> read_prompts(Fields& fields, std::string_view name) {
  std::vector<RawPrompt> prompts;
  const Json* given = fields.any(name);
  if (given == nullptr) {
    fields.refuse(name, fmt::format("missing, {}", kWanted));
  } else if (given->is_string()) {
    prompts.emplace_back(TextPrompt{given->get<std::string>()});
  } else if (!given->is_array() || given->empty()) {
    fields.refuse(name, fmt::format("got {}, {}", json_excerpt(*given), kWanted));
  } else if (given->front().is_number()) {
    prompts.emplace_back(IdsPrompt{read_ids(fields, std::string(name), *given)});
  } else if (given->size() > kMostPrompts) {
    fields.refuse(name, fmt::format("got {} entries, want at most {}", given->size(), kMostPrompts));
  } else {
    for (size_t i = 0; i < given->size() && fields.ok(); i++) {
      const Json& element = (*given)[i];
      const std::string place = fmt::format("{}[{}]", name, i);
      if (element.is_string()) {
        prompts.emplace_back(TextPrompt{element.get<std::string>()});
      } else if (element.is_array()) {
        prompts.emplace_back(IdsPrompt{read_ids(fields, place, element)});
      } else {
        fields.refuse(place, fmt::format("got {}, want a string or a list of token ids", json_excerpt(element)));
      }
    }
  }
  return prompts;
}

CompletionRequest parse_completion_request(Fields& fields) {
  CompletionRequest request;
  ReplyTask& task = request.task;
  read_sampling(fields, task);
  task.max_tokens = kDefaultTokens;
  read_max_tokens(fields, {"max_tokens"}, task);
  request.prompts = read_prompts(fields, "prompt");
  if (const auto suffix = fields.text("suffix"); suffix && !suffix->empty()) {
    fields.refuse("suffix", "no model here was trained to fill in the middle");
  }
  read_stream(fields, request.streams, request.includes_usage);
  read_best_of(fields, request);
  request.echoes = fields.boolean("echo").value_or(false);
  request.logprobs = static_cast<int>(fields.integer("logprobs", 0, kMostLogprobs).value_or(-1));
  task.grammar = read_response_format(fields);
  const bool compares = task.samples > request.choices;  // by log-probability
  task.top_logprobs = std::max(request.logprobs, compares ? 0 : -1);
  return request;
}

}  // namespace hotaru::server
