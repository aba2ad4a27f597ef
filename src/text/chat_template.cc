#include "text/chat_template.h"

#include <chrono>
#include <utility>

#include "base/json.h"
#include "text/foreign.h"
#include "text/text_bundle.h"

namespace hotaru {

Result<ChatTemplate> ChatTemplate::create(const TextBundle& bundle) {
  if (bundle.chat_template.empty()) return make_error(ErrorKind::kNotFound, "the model has no chat template");
  const std::string special = Json(bundle.special_tokens).dump(-1, ' ', false, Json::error_handler_t::replace);
  return create(bundle.chat_template, bundle.tool_use_template, special);
}

Result<ChatTemplate> ChatTemplate::with_source(std::string source) const {
  return create(std::move(source), "", special_tokens_json_);
}

Result<ChatTemplate> ChatTemplate::create(std::string source, std::string_view tool_use,
                                          std::string special_tokens_json) {
  ChatTemplate result;
  result.source_ = std::move(source);
  result.special_tokens_json_ = std::move(special_tokens_json);
  TRY_ASSIGN(result.handle_,
             foreign::handle_of(hotaru_text_template_free, hotaru_text_template_create, foreign::view(result.source_),
                                foreign::view(tool_use), foreign::view(result.special_tokens_json_)));
  return result;
}

Result<std::string> ChatTemplate::render(const ChatRequest& request) const {
  const auto clock = std::chrono::system_clock::now().time_since_epoch();
  HotaruTextRenderRequest foreign_request = {};
  foreign_request.messages = foreign::view(request.messages_json);
  foreign_request.extra = foreign::view(request.variables_json);
  foreign_request.now_unix_seconds =
      request.now_unix_seconds.value_or(std::chrono::duration_cast<std::chrono::seconds>(clock).count());
  foreign_request.add_generation_prompt = request.add_generation_prompt;
  return foreign::text_of(hotaru_text_template_render, handle_.get(), &foreign_request);
}

}  // namespace hotaru
