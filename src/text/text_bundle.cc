#include "text/text_bundle.h"

#include <array>
#include <optional>

#include "base/file.h"
#include "base/json.h"
#include "text/foreign.h"
#include "text/tokenizer.h"

namespace hotaru {
namespace {

constexpr std::array kSpecialTokens = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};

// A file that need not be there.
Result<std::optional<std::string>> read_if_there(const std::string& path) {
  auto text = read_text_file(path, size_t{256} << 20);
  if (text) return std::optional<std::string>(*std::move(text));
  if (text.error().kind == ErrorKind::kNotFound) return std::optional<std::string>();
  return std::move(text).error();
}

Result<Json> read_object_if_there(const std::string& path) {
  TRY_ASSIGN(const auto text, read_if_there(path));
  if (!text) return Json::object();
  TRY_ASSIGN(Json value, parse_json(*text, path));
  if (!value.is_object()) return invalid("{}: want a JSON object", path);
  return value;
}

Result<std::string> canonical_tokenizer(const std::string& directory, const std::string& model_type) {
  constexpr std::array kNames = {"tokenizer.json",        "vocab.json",        "merges.txt",
                                 "tokenizer_config.json", "added_tokens.json", "special_tokens_map.json"};
  std::array<std::optional<std::string>, kNames.size()> contents;
  for (size_t i = 0; i < kNames.size(); ++i) {
    TRY_ASSIGN(contents[i], read_if_there(directory + "/" + kNames[i]));
  }
  if (!contents[0] && (!contents[1] || !contents[2])) {
    TRY_ASSIGN(const auto sentencepiece, read_if_there(directory + "/tokenizer.model"));
    if (sentencepiece) {
      return not_supported("{}: only a sentencepiece tokenizer.model; want a tokenizer.json", directory);
    }
    return make_error(ErrorKind::kNotFound, "{}: no tokenizer; want tokenizer.json, or vocab.json and merges.txt",
                      directory);
  }
  const auto file = [&](size_t i) { return contents[i] ? foreign::view(*contents[i]) : HotaruTextView{nullptr, 0}; };
  const HotaruTextFiles files = {file(0), file(1), file(2), file(3), file(4), file(5), foreign::view(model_type)};
  auto json = foreign::text_of(hotaru_text_canonical_tokenizer, &files);
  if (!json) return at(directory, std::move(json).error());
  return json;
}

// "<s>" or {"content": "<s>", ...}.
std::optional<std::string> token_text(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end()) return std::nullopt;
  if (found->is_string()) return found->get<std::string>();
  if (found->is_object() && found->contains("content") && (*found)["content"].is_string()) {
    return (*found)["content"].get<std::string>();
  }
  return std::nullopt;
}

// tokenizer_config.json's chat_template: a text, or [{"name": "default", "template": "..."}, ...].
Result<void> take_templates(const Json& config, const std::string& place, TextBundle& bundle) {
  const auto found = config.find("chat_template");
  if (found == config.end() || found->is_null()) return {};
  if (found->is_string()) {
    bundle.chat_template = found->get<std::string>();
    return {};
  }
  if (!found->is_array()) return invalid("{} 'chat_template': want a text or a list", place);
  for (const Json& entry : *found) {
    if (!entry.is_object()) return invalid("{} 'chat_template': want a list of name and template", place);
    TRY_ASSIGN(const std::string name, json_string(entry, "name", ""));
    TRY_ASSIGN(std::string text, json_string(entry, "template", ""));
    if (name == "default")
      bundle.chat_template = std::move(text);
    else if (name == "tool_use")
      bundle.tool_use_template = std::move(text);
  }
  return {};
}

Result<void> take_template_files(const std::string& directory, TextBundle& bundle) {
  TRY_ASSIGN(auto main, read_if_there(directory + "/chat_template.jinja"));
  if (main) {
    bundle.chat_template = *std::move(main);
    bundle.tool_use_template.clear();
  }
  TRY_ASSIGN(auto tool_use, read_if_there(directory + "/additional_chat_templates/tool_use.jinja"));
  if (tool_use) bundle.tool_use_template = *std::move(tool_use);
  return {};
}

Result<bool> begins_with_bos(const TextBundle& bundle) {
  const auto bos = bundle.special_tokens.find("bos_token");
  if (bos == bundle.special_tokens.end()) return false;
  TRY_ASSIGN(const Tokenizer tokenizer, Tokenizer::create(bundle.tokenizer_json));
  TRY_ASSIGN(const auto ids, tokenizer.encode("", {.add_special_tokens = true}));
  return !ids.empty() && tokenizer.token_to_id(bos->second) == ids.front();
}

}  // namespace

Result<TextBundle> TextBundle::load(const std::string& directory) {
  TextBundle bundle;
  const std::string config_path = directory + "/tokenizer_config.json";
  TRY_ASSIGN(const Json config, read_object_if_there(config_path));
  TRY_ASSIGN(const Json special_map, read_object_if_there(directory + "/special_tokens_map.json"));
  TRY_ASSIGN(const Json model_config, read_object_if_there(directory + "/config.json"));
  TRY_ASSIGN(const std::string model_type, json_string(model_config, "model_type", ""));
  TRY_ASSIGN(bundle.tokenizer_json, canonical_tokenizer(directory, model_type));
  for (const char* name : kSpecialTokens) {
    auto text = token_text(config, name);
    if (!text && !config.contains(name)) text = token_text(special_map, name);
    if (text) bundle.special_tokens[name] = *std::move(text);
  }
  TRY(take_templates(config, config_path, bundle));
  TRY(take_template_files(directory, bundle));
  TRY_ASSIGN(bundle.adds_bos, begins_with_bos(bundle));
  return bundle;
}

std::string TextBundle::to_json() const {
  const Json value = {{"special_tokens", special_tokens},
                      {"adds_bos", adds_bos},
                      {"chat_template", chat_template},
                      {"tool_use_template", tool_use_template}};
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<TextBundle> TextBundle::from_json(std::string_view tokenizer_json, std::string_view json) {
  constexpr std::string_view kPlace = "text section";
  TextBundle bundle;
  bundle.tokenizer_json = tokenizer_json;
  TRY_ASSIGN(const Json value, parse_json(json, kPlace));
  if (!value.is_object()) return invalid("{}: want a JSON object", kPlace);
  TRY_ASSIGN(bundle.adds_bos, json_bool(value, "adds_bos", false));
  TRY_ASSIGN(bundle.chat_template, json_string(value, "chat_template", ""));
  TRY_ASSIGN(bundle.tool_use_template, json_string(value, "tool_use_template", ""));
  const Json tokens = value.value("special_tokens", Json::object());
  if (!tokens.is_object()) return invalid("{} 'special_tokens': want a JSON object", kPlace);
  for (const auto& [name, token] : tokens.items()) {
    if (!token.is_string()) return invalid("{} 'special_tokens' '{}': want a text", kPlace, name);
    bundle.special_tokens[name] = token.get<std::string>();
  }
  return bundle;
}

}  // namespace hotaru
