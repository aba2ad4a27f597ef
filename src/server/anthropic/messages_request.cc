#include "server/anthropic/messages_request.h"

#include <limits>
#include <utility>

#include "server/openai/chat_request.h"
#include "server/openai/messages.h"
#include "server/openai/sampling_fields.h"
#include "server/openai/tools.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

// What a tool gave back: absent, a string, or blocks of text.
std::string read_result(Fields& block) {
  std::string text = read_content(block, "content");
  return block.boolean("is_error").value_or(false) && text.empty() ? "error" : text;
}

// A message is one or several of the template's: results of tools, and what is said between them.
class BlockReader {
 public:
  BlockReader(std::string role, TemplateMessages& messages) : role_(std::move(role)), messages_(&messages) {}

  void read(Fields& block) {
    const std::string type = block.required_text("type");
    if (type == "text") {
      say(block.required_text("text"));
    } else if (type == "thinking" && role_ == "assistant") {
      messages_->add_reasoning(block.required_text("thinking"));
    } else if (type == "redacted_thinking" && role_ == "assistant") {
      // Somebody else's secret.
    } else if (type == "tool_use" && role_ == "assistant") {
      flush();
      const std::string id = block.required_text("id");
      const std::string name = block.required_text("name");
      const Json* input = block.object("input");
      messages_->add_call(id, name, input != nullptr ? *input : Json::object());
    } else if (type == "tool_result" && role_ == "user") {
      flush();
      const std::string id = block.required_text("tool_use_id");
      messages_->add_tool_result(id, read_result(block));
    } else if (block.ok()) {
      const std::string_view wanted = role_ == "user" ? "want text or tool_result" : "want text, thinking or tool_use";
      block.refuse("type", fmt::format("got {}, {}: Hotaru's models read text only", json_excerpt(Json(type)), wanted));
    }
  }
  void flush() {
    if (std::exchange(has_text_, false)) messages_->add(role_, std::exchange(text_, {}));
  }

 private:
  void say(const std::string& text) {
    if (std::exchange(has_text_, true)) text_ += '\n';
    text_ += text;
  }
  std::string role_;
  TemplateMessages* messages_;
  std::string text_;
  bool has_text_ = false;
};

void read_message(Fields& message, TemplateMessages& messages) {
  std::string role = message.required_text("role");
  if (message.ok() && role != "user" && role != "assistant") {
    return message.refuse("role", fmt::format("got {}, want user or assistant", json_excerpt(Json(role))));
  }
  const Json* content = message.any("content");
  if (content != nullptr && content->is_string()) return messages.add(role, content->get<std::string>());
  if (content == nullptr || !content->is_array()) {
    const std::string found = content == nullptr ? "missing" : "got " + json_excerpt(*content);
    return message.refuse("content", found + ", want a string or a list of blocks");
  }
  BlockReader blocks(std::move(role), messages);
  for (size_t i = 0; i < content->size() && message.ok(); i++) {
    Fields block((*content)[i], message.path_of(fmt::format("content[{}]", i)));
    if (block.ok()) blocks.read(block);
    message.take_error(block);
  }
  blocks.flush();
}

TemplateMessages read_chat(Fields& fields) {
  TemplateMessages messages;
  if (std::string system = read_content(fields, "system"); !system.empty()) messages.add("system", std::move(system));
  const Json* list = fields.array("messages");
  if (list == nullptr || list->empty()) {
    fields.refuse("messages", fmt::format("{}, want at least one message", list == nullptr ? "missing" : "got []"));
    return messages;
  }
  for (size_t i = 0; i < list->size() && fields.ok(); i++) {
    Fields message((*list)[i], fmt::format("messages[{}]", i));
    if (message.ok()) read_message(message, messages);
    fields.take_error(message);
  }
  return messages;
}

void read_tool_choice(Fields& fields, RequestedTools& tools) {
  const Json* object = fields.object("tool_choice");
  if (object == nullptr) return;
  Fields choice(*object, "tool_choice");
  const std::string type = choice.required_text("type");
  tools.use.calls_in_parallel = !choice.boolean("disable_parallel_tool_use").value_or(false);
  if (type == "any") {
    tools.use.must_call = true;
  } else if (type == "none") {
    tools.are_off = true;
  } else if (type == "tool") {
    tools.use.must_call = true;
    tools.use.only = choice.required_text("name");
  } else if (choice.ok() && type != "auto") {
    choice.refuse("type", fmt::format("got {}, want auto, any, tool or none", json_excerpt(Json(type))));
  }
  fields.take_error(choice);
}

RequestedTools read_message_tools(Fields& fields) {
  RequestedTools tools;
  const Json* list = fields.array("tools");
  for (size_t i = 0; list != nullptr && i < list->size() && fields.ok(); i++) {
    Fields tool((*list)[i], fmt::format("tools[{}]", i));
    const std::string type = tool.text("type").value_or("custom");
    if (tool.ok() && type != "custom") {
      tool.refuse("type", fmt::format("got {}, want \"custom\": no tool runs here", json_excerpt(Json(type))));
    }
    add_tool(tool, "input_schema", tools);
    fields.take_error(tool);
  }
  read_tool_choice(fields, tools);
  check_tool_choice(fields, tools);
  return tools;
}

void read_thinking(Fields& fields, ReplyTask& task) {
  const Json* object = fields.object("thinking");
  if (object == nullptr) return;
  Fields thinking(*object, "thinking");
  const std::string type = thinking.required_text("type");
  if (type == "enabled" || type == "disabled") {
    task.thinks = type == "enabled";
  } else if (thinking.ok() && type != "adaptive") {
    thinking.refuse("type", fmt::format("got {}, want enabled, disabled or adaptive", json_excerpt(Json(type))));
  }
  fields.take_error(thinking);
}

// {"format": {"type": "json_schema", "schema": {...}}}
void read_output_config(Fields& fields, ReplyTask& task) {
  const Json* object = fields.object("output_config");
  if (object == nullptr) return;
  Fields config(*object, "output_config");
  if (const Json* given = config.object("format")) {
    Fields format(*given, "output_config.format");
    if (const std::string type = format.required_text("type"); format.ok() && type != "json_schema") {
      format.refuse("type", fmt::format("got {}, want \"json_schema\"", json_excerpt(Json(type))));
    }
    const Json* schema = format.object("schema");
    if (schema == nullptr) {
      format.refuse("schema", "missing, want a JSON schema");
    } else {
      task.grammar = GrammarSpec{GrammarSpec::Kind::kJsonSchema, json_line(*schema)};
    }
    config.take_error(format);
  }
  fields.take_error(config);
}

void read_prompt(Fields& fields, ReplyTask& task) {
  read_thinking(fields, task);
  const RequestedTools tools = read_message_tools(fields);
  const TemplateMessages messages = read_chat(fields);
  if (!fields.ok()) return;
  set_chat_prompt(fields, messages.json(), tools, task);
  // Anthropic's way of putting words into the model's mouth.
  std::get<ChatPrompt>(task.prompt).continues_last = messages.last_role() == "assistant";
}

}  // namespace

MessagesRequest parse_messages_request(Fields& fields) {
  MessagesRequest request;
  ReplyTask& task = request.task;
  read_common_sampling(fields, task);
  const auto tokens = fields.integer("max_tokens", 1, std::numeric_limits<int32_t>::max());
  if (!tokens) fields.refuse("max_tokens", "missing, want the most tokens of the reply");
  task.max_tokens = static_cast<int>(tokens.value_or(1));
  if (fields.array("stop_sequences") != nullptr) task.stop = fields.texts("stop_sequences").value_or(task.stop);
  for (const std::string& stop : task.stop) {
    if (stop.empty()) fields.refuse("stop_sequences", "got an empty string, want text to stop at");
  }
  request.streams = fields.boolean("stream").value_or(false);
  read_output_config(fields, task);
  read_prompt(fields, task);
  return request;
}

ReplyTask parse_count_request(Fields& fields) {
  ReplyTask task;
  task.model = fields.required_text("model");
  read_prompt(fields, task);
  return task;
}

}  // namespace hotaru::server
