#include "server/store/made_model.h"

#include "base/file.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kPrefix = "sha256:";
constexpr int64_t kVersion = 1;

struct TextField {
  const char* name;
  std::string StoredModel::*text;
};
constexpr TextField kTextFields[] = {{"adapter", &StoredModel::adapter},
                                     {"parent", &StoredModel::parent},
                                     {"system", &StoredModel::system},
                                     {"template", &StoredModel::chat_template},
                                     {"license", &StoredModel::license}};

Result<StoredModel> parse_made_model(const Json& json) {
  TRY_ASSIGN(const int64_t version, json_integer(json, "hotaru_model", 1, 1'000'000));
  if (version > kVersion) return not_supported("'hotaru_model': got {}, want at most {}", version, kVersion);
  StoredModel model;
  TRY_ASSIGN(const std::string digest, json_string(json, "hef", ""));
  if (!digest.starts_with(kPrefix)) return invalid("'hef': got '{}', want sha256: and a digest", digest);
  model.digest = digest.substr(kPrefix.size());
  for (const TextField& field : kTextFields) {
    TRY_ASSIGN(model.*field.text, json_string(json, field.name, ""));
  }
  if (const auto found = json.find("parameters"); found != json.end() && !found->is_null()) {
    if (!found->is_object()) return invalid("'parameters': got {}, want an object", found->type_name());
    model.parameters = *found;
  }
  return model;
}

}  // namespace

std::string made_model_text(const StoredModel& model) {
  Json json = {{"hotaru_model", kVersion}, {"hef", std::string(kPrefix) + model.digest}};
  for (const TextField& field : kTextFields) {
    if (const std::string& text = model.*field.text; !text.empty()) json[field.name] = text;
  }
  if (!model.parameters.is_null()) json["parameters"] = model.parameters;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<StoredModel> read_made_model(const std::string& path) {
  TRY_ASSIGN(const std::string text, read_text_file(path));
  TRY_ASSIGN(const Json json, parse_json(text, path));
  if (!json.is_object()) return invalid("{}: got {}, want an object", path, json.type_name());
  Result<StoredModel> model = parse_made_model(json);
  if (!model) return at(path, std::move(model).error());
  return model;
}

}  // namespace hotaru::server
