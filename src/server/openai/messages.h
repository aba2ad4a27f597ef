// The messages of a chat as OpenAI writes them, turned into what chat templates know.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/json.h"
#include "server/request/fields.h"

namespace hotaru::server {

// Collects messages for a template: {"role", "content", "tool_calls", ...}.
//
// Ids of calls are replaced by their numbers, nine digits wide: Mistral's templates refuse everything else, and no
// other template prints them.
class TemplateMessages {
 public:
  void add(std::string_view role, std::string content);
  // Of the assistant; a message of its own, or part of the last one if that is the assistant's and has no content yet.
  // `arguments` is an object.
  void add_call(const std::string& id, const std::string& name, Json arguments);
  // What the tool said to the call of this id.
  void add_tool_result(const std::string& id, std::string content);
  // The assistant's reasoning in front of what it says next.
  void add_reasoning(std::string_view text);

  [[nodiscard]] bool empty() const { return messages_.empty(); }
  [[nodiscard]] std::string_view last_role() const;
  [[nodiscard]] std::string json() const;

 private:
  std::string number_of(const std::string& id);

  Json messages_ = Json::array();
  std::map<std::string, std::string> numbers_;  // by id
  std::map<std::string, std::string> names_;    // of the called tools, by id
  std::string reasoning_;
};

// `messages` of a chat completion.
TemplateMessages read_messages(Fields& fields);
// A string, or a list of text parts joined by newlines. Images, sounds and files are refused. Null or absent: empty.
std::string read_content(Fields& message, std::string_view name);
// Arguments of a call: a string that holds a JSON object; an empty string is {}.
Json read_arguments(Fields& call, std::string_view name);

}  // namespace hotaru::server
