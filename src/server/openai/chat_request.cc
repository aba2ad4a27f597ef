#include "server/openai/chat_request.h"

#include <algorithm>
#include <array>
#include <utility>

#include "server/openai/messages.h"
#include "server/openai/response_format.h"
#include "server/openai/sampling_fields.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

constexpr int64_t kMostSamples = 128;
constexpr int64_t kMostTopLogprobs = 20;

void read_logprobs(Fields& fields, ReplyTask& task) {
  const bool wants = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, kMostTopLogprobs);
  if (top && *top > 0 && !wants) fields.refuse("top_logprobs", "wants logprobs, but 'logprobs' is not true");
  if (wants) task.top_logprobs = static_cast<int>(top.value_or(0));
}

}  // namespace

void read_stream(Fields& fields, bool& streams, bool& includes_usage) {
  streams = fields.boolean("stream").value_or(false);
  const Json* object = fields.object("stream_options");
  if (object == nullptr) return;
  if (!streams) return fields.refuse("stream_options", "is for streams only, but 'stream' is not true");
  Fields options(*object, "stream_options");
  includes_usage = options.boolean("include_usage").value_or(false);
  fields.take_error(options);
}

std::optional<bool> read_effort(Fields& fields, std::string_view name) {
  constexpr std::array<std::string_view, 7> kEfforts = {"none", "minimal", "low", "medium", "high", "xhigh", "max"};
  const auto effort = fields.text(name);
  if (!effort) return {};
  if (std::ranges::find(kEfforts, *effort) == kEfforts.end()) {
    fields.refuse(name, fmt::format("got {}, want none, minimal, low, medium or high", json_excerpt(Json(*effort))));
  }
  return *effort != "none" && *effort != "minimal";
}

void set_chat_prompt(Fields& fields, std::string messages_json, const RequestedTools& tools, ReplyTask& task) {
  const Json* given = fields.object("chat_template_kwargs");
  Json variables = given != nullptr ? *given : Json::object();
  ChatPrompt prompt;
  prompt.messages_json = std::move(messages_json);
  prompt.has_tools = !tools.tools.empty() && !tools.are_off;
  if (prompt.has_tools) variables["tools"] = tools.tools;
  prompt.tool_use = tools.use;
  if (!variables.empty()) prompt.variables_json = json_line(variables);
  task.prompt = std::move(prompt);
}

ChatRequest parse_chat_request(Fields& fields) {
  ChatRequest request;
  ReplyTask& task = request.task;
  read_sampling(fields, task);
  read_max_tokens(fields, {"max_completion_tokens", "max_tokens"}, task);
  task.samples = static_cast<int>(fields.integer("n", 1, kMostSamples).value_or(1));
  read_logprobs(fields, task);
  read_stream(fields, request.streams, request.includes_usage);
  task.thinks = read_effort(fields, "reasoning_effort");
  task.grammar = read_response_format(fields);
  const RequestedTools tools = read_tools(fields);
  const TemplateMessages messages = read_messages(fields);
  if (fields.ok()) set_chat_prompt(fields, messages.json(), tools, task);
  return request;
}

}  // namespace hotaru::server
