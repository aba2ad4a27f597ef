// The form a reply must have: a chat completion's response_format and a response's text.format.
#pragma once

#include <optional>

#include "server/request/fields.h"
#include "text/grammar.h"

namespace hotaru::server {

// {"type": "text" | "json_object" | "json_schema", "json_schema": {"name", "schema", "strict"}}
std::optional<GrammarSpec> read_response_format(Fields& fields);
// The same with name and schema beside the type; `text` is the request's field {"format": {...}}.
std::optional<GrammarSpec> read_text_format(Fields& text);

}  // namespace hotaru::server
