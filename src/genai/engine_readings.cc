// Readings: requests that run like a prompt without a reply, with a reader beside them.
#include <algorithm>
#include <utility>

#include "genai/engine_core.h"

namespace hotaru {

Result<std::shared_ptr<ReplyChannel>> EngineCore::submit_reading(ReadingRequest request) {
  if (request.ids.empty()) return invalid("the text has no tokens, want at least one");
  TRY(check_adapter(request.adapter));
  TRY(model_.check_ids(request.ids));
  TRY(check_places(1));
  if (request.wants_embedding && model_.device().info().hidden_width == 0) {
    return not_supported("'{}' gives no embeddings: its output layer has no norm in front", model_.name());
  }
  auto writer = std::make_unique<Writer>();
  writer->request.adapter = request.adapter;
  const size_t prefix_tokens = request.ids.size() - model_.after_prefix(request.ids).size();
  writer->reader.emplace(std::move(request), prefix_tokens);
  writer->request.ids = writer->reader->stored_ids();
  writer->has_stored_form = true;
  const auto most = static_cast<size_t>(model_.device().info().context_tokens);
  if (writer->request.ids.size() > most) {
    return invalid("the text is too long: got {} tokens, want at most {}", writer->request.ids.size(), most);
  }
  writer->channel = std::make_shared<ReplyChannel>(signals_, 1, nullptr);
  writer->request.options.max_tokens = 0;
  writer->request.options.when_full = WhenFull::kError;
  writer->request.options.abort = writer->channel->abort_flag();
  std::shared_ptr<ReplyChannel> channel = writer->channel;
  queue_.push_back(std::move(writer));
  signals_->note_idle(false);
  return channel;
}

void EngineCore::tell_end(Writer& writer, Reply&& reply, std::optional<Error> error) {
  if (writer.reader) {
    const bool is_aborted = reply.status == ReplyStatus::kAborted;
    if (!error && is_aborted) error = make_error(ErrorKind::kAborted, "the reading was aborted");
    writer.reader->finish(std::move(error));
  } else {
    writer.channel->end(std::move(reply), std::move(error));
  }
}

}  // namespace hotaru
