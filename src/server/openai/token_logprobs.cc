#include "server/openai/token_logprobs.h"

#include <algorithm>
#include <vector>

namespace hotaru::server {
namespace {

// As the JSON library sees it, which has to write it.
bool is_utf8(const std::string& bytes) {
  try {
    static_cast<void>(Json(bytes).dump());
  } catch (const Json::exception&) {
    return false;
  }
  return true;
}

Json entry_of(const LanguageModel& model, int32_t id, float logprob) {
  const std::string bytes = token_bytes(model, id);
  std::vector<unsigned> numbers;
  numbers.reserve(bytes.size());
  for (const char byte : bytes) numbers.push_back(static_cast<unsigned char>(byte));
  Json entry;
  entry["token"] = token_text(bytes, "");
  entry["logprob"] = written_logprob(logprob);
  entry["bytes"] = numbers;
  return entry;
}

}  // namespace

double written_logprob(float logprob) {
  return logprob > static_cast<float>(kImpossible) ? static_cast<double>(logprob) : kImpossible;
}

std::string token_bytes(const LanguageModel& model, int32_t id) {
  if (model.tokenizer() == nullptr) return {};
  auto bytes = model.tokenizer()->token_bytes(id);
  return bytes ? *std::move(bytes) : std::string();
}

bool is_end_token(const LanguageModel& model, int32_t id) {
  return std::ranges::find(model.defaults().eos_ids, id) != model.defaults().eos_ids.end();
}

std::string token_text(const std::string& bytes, std::string_view prefix) {
  if (is_utf8(bytes)) return bytes;
  std::string text(prefix);
  for (const char byte : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return text;
}

Json chat_logprob(const LanguageModel& model, const ReplyPiece& piece) {
  Json entry = entry_of(model, piece.id, piece.logprob);
  entry["top_logprobs"] = Json::array();
  for (const TokenLogprob& token : piece.top) {
    entry["top_logprobs"].push_back(entry_of(model, token.id, token.logprob));
  }
  return entry;
}

}  // namespace hotaru::server
