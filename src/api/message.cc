#include "api/message.h"

#include "base/json.h"

namespace hotaru {
namespace {

Result<PromptPart> parse_message(const std::string& text, const std::string& place) {
  TRY_ASSIGN(const Json message, parse_json(text, place));
  if (!message.is_object()) return invalid("{}: got {}, want a JSON object", place, message.type_name());
  const auto role = message.find("role");
  if (role == message.end()) return invalid("{} 'role': is missing, want a string such as \"user\"", place);
  if (!role->is_string() || role->get_ref<const std::string&>().empty()) {
    return invalid("{} 'role': got {}, want a string such as \"user\"", place, role->dump());
  }
  const auto content = message.find("content");
  if (content == message.end()) return invalid("{} 'content': is missing, want a string", place);
  if (!content->is_string() && !content->is_array() && !content->is_null()) {
    return invalid("{} 'content': got {}, want a string, a list or null", place, content->type_name());
  }
  return PromptPart{.kind = PromptPart::Kind::kMessage, .text = message.dump()};
}

}  // namespace

Result<std::vector<PromptPart>> parse_messages(const std::vector<std::string>& messages) {
  std::vector<PromptPart> parts;
  for (size_t i = 0; i < messages.size(); i++) {
    TRY_ASSIGN(PromptPart part, parse_message(messages[i], fmt::format("message {}", i + 1)));
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace hotaru
