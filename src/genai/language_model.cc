#include "genai/language_model.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "base/json.h"
#include "format/hef.h"
#include "text/text_bundle.h"

namespace hotaru {
namespace {

std::optional<float> if_said(float value) { return std::isnan(value) ? std::nullopt : std::optional<float>(value); }

// In a HEF, NaN and negative numbers stand where the checkpoint said nothing.
GenerationDefaults defaults_of(const fb::GenerationDefaults* table) {
  GenerationDefaults defaults;
  if (table == nullptr) return defaults;
  defaults.do_sample = table->do_sample();
  defaults.temperature = if_said(table->temperature());
  defaults.top_p = if_said(table->top_p());
  defaults.min_p = if_said(table->min_p());
  defaults.repetition_penalty = if_said(table->repetition_penalty());
  if (table->top_k() >= 0) defaults.top_k = table->top_k();
  if (table->eos_ids() != nullptr) defaults.eos_ids.assign(table->eos_ids()->begin(), table->eos_ids()->end());
  if (table->bos_id() >= 0) defaults.bos_id = table->bos_id();
  return defaults;
}

Result<void> read_text(const Container& container, LanguageModel::Parts& parts) {
  const auto tokenizer = container.text(SectionType::kTokenizer);
  if (!tokenizer) return {};
  TRY_ASSIGN(const TextBundle bundle,
             TextBundle::from_json(*tokenizer, container.text(SectionType::kTokenizerConfig).value_or("{}")));
  TRY_ASSIGN(parts.tokenizer, Tokenizer::create(bundle.tokenizer_json));
  if (!bundle.chat_template.empty()) {
    TRY_ASSIGN(parts.chat_template, ChatTemplate::create(bundle));
  }
  return {};
}

Result<std::string> messages_json(std::span<const Message> messages) {
  Json list = Json::array();
  for (const Message& message : messages) list.push_back({{"role", message.role}, {"content", message.content}});
  try {
    return list.dump();
  } catch (const Json::type_error&) {  // the library's answer to bytes that are not UTF-8
    return invalid("prompt: got bytes that are not UTF-8, want UTF-8 text");
  }
}

}  // namespace

Result<LanguageModel> LanguageModel::open(const std::string& hef_path, const DeviceOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  Parts parts;
  TRY_ASSIGN(parts.device, Device::open(hef_path, options));
  // The device has just verified the checksums.
  TRY_ASSIGN(const HefFile hef, HefFile::open(hef_path, {.verify_checksums = false}));
  const fb::ModelIdentity* identity = hef.meta().identity();
  parts.name = identity != nullptr && identity->name() != nullptr ? identity->name()->str() : hef_path;
  parts.defaults = defaults_of(hef.meta().generation());
  if (Result<void> read = read_text(hef.container(), parts); !read) return at(hef_path, std::move(read).error());
  parts.load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return from_parts(std::move(parts));
}

Result<LanguageModel> LanguageModel::from_parts(Parts parts) {
  LanguageModel model(std::move(parts));
  const GenerationDefaults& defaults = model.defaults();
  if (Result<void> known = model.check_ids(defaults.eos_ids); !known)
    return at("end of turn", std::move(known).error());
  if (defaults.bos_id) {
    if (Result<void> known = model.check_ids({&*defaults.bos_id, 1}); !known)
      return at("BOS", std::move(known).error());
  }
  return model;
}

Result<void> LanguageModel::check_ids(std::span<const int32_t> ids) const {
  const int vocabulary = device().info().vocabulary;
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocabulary) {
      return invalid("token id {} is not in the vocabulary, want 0 to {}", id, vocabulary - 1);
    }
  }
  return {};
}

Result<std::vector<int32_t>> LanguageModel::encode(std::string_view text, bool add_special_tokens) const {
  if (!has_tokenizer()) {
    return make_error(ErrorKind::kNotFound, "'{}' has no tokenizer: only token ids can be its prompt", name());
  }
  Result<std::vector<int32_t>> ids = parts_.tokenizer->encode(text, {.add_special_tokens = add_special_tokens});
  if (!ids) return at("prompt", std::move(ids).error());
  TRY(check_ids(*ids));
  return ids;
}

Result<std::vector<int32_t>> LanguageModel::encode_text(std::string_view text) const {
  TRY_ASSIGN(std::vector<int32_t> ids, encode(text, true));
  if (ids.empty() && defaults().bos_id) ids.push_back(*defaults().bos_id);
  return ids;
}

Result<std::vector<int32_t>> LanguageModel::encode_more_text(std::string_view text) const {
  return encode(text, false);
}

Result<std::vector<int32_t>> LanguageModel::encode_chat(std::span<const Message> messages) const {
  TRY_ASSIGN(const std::string json, messages_json(messages));
  return encode_chat(json);
}

Result<std::vector<int32_t>> LanguageModel::encode_chat(const std::string& messages_json) const {
  ChatRequest request;
  request.messages_json = messages_json;
  TRY_ASSIGN(const std::string text, render_chat(request));
  return encode_more_text(text);
}

Result<std::string> LanguageModel::render_chat(const ChatRequest& request, const ChatTemplate* instead) const {
  const ChatTemplate* chosen = instead != nullptr ? instead : chat_template();
  if (chosen == nullptr) {
    return make_error(ErrorKind::kNotFound, "'{}' has no chat template: only a raw prompt can be given", name());
  }
  Result<std::string> text = chosen->render(request);
  if (!text) return at("chat template", std::move(text).error());
  return text;
}

Result<int> LanguageModel::opening_tokens(ChatRequest request, std::span<const int32_t> prompt_ids) const {
  TRY_ASSIGN(const Json messages, parse_json(request.messages_json, "messages"));
  Json opening = Json::array();
  for (const Json& message : messages) {
    if (!message.is_object() || message.value("role", "") != "system") break;
    opening.push_back(message);
  }
  opening.push_back({{"role", "user"}, {"content", "?"}});
  request.messages_json = opening.dump();
  TRY_ASSIGN(const std::string other, render_chat(request));
  TRY_ASSIGN(const std::vector<int32_t> other_ids, encode_more_text(other));
  const std::span<const int32_t> a = after_prefix(prompt_ids);
  const std::span<const int32_t> b = after_prefix(other_ids);
  return static_cast<int>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

std::span<const int32_t> LanguageModel::after_prefix(std::span<const int32_t> prompt_ids) const {
  const std::vector<int32_t>& prefix = device().info().prefix;
  if (prompt_ids.size() <= prefix.size() || !std::equal(prefix.begin(), prefix.end(), prompt_ids.begin())) {
    return prompt_ids;
  }
  return prompt_ids.subspan(prefix.size());
}

Result<std::optional<ReplyText>> LanguageModel::reply_text(const std::vector<std::string>& stop, bool continues,
                                                           std::span<const int32_t> earlier) const {
  if (!has_tokenizer()) {
    if (stop.empty()) return std::optional<ReplyText>();
    return make_error(ErrorKind::kNotFound, "'{}' has no tokenizer: stop strings cannot be found", name());
  }
  const DetokenizerOptions options{.continues = continues};
  TRY_ASSIGN(ReplyText text, earlier.empty() ? ReplyText::create(*parts_.tokenizer, options, stop)
                                             : ReplyText::resume(*parts_.tokenizer, options, stop, earlier));
  return std::optional<ReplyText>(std::move(text));
}

Result<GenerationOptions> LanguageModel::generation_options(const SamplingChoice& choice) const {
  GenerationOptions options;
  options.sampling = resolve_sampling(choice, parts_.defaults);
  TRY(check_sampling_params(options.sampling, device().info().vocabulary));
  options.stop_ids = parts_.defaults.eos_ids;
  if (!options.stop_ids.empty()) options.recovery_ids = {options.stop_ids.front()};
  return options;
}

}  // namespace hotaru
