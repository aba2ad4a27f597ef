// The models of a folder: NAME.hef is model NAME, each of its adapters is NAME:ADAPTER. A model that was made of
// another
// (`create` with a base, an adapter, a system message) is a small NAME.json beside the HEFs. Every change is whole or
// did not happen, whatever is killed when. Names: letters, digits, '.', '_', '-' and '/' between parts; never a path.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace hotaru::server {

// "name", "name:latest" (the same), "name:adapter".
struct ModelName {
  std::string name;
  std::string adapter;  // empty: none
  static Result<ModelName> parse(std::string_view text);
  [[nodiscard]] std::string text() const;  // "name:latest", "name:adapter": as Ollama lists it
};

// What a name stands for.
struct StoredModel {
  ModelName name;
  std::string hef_path;
  std::string adapter;        // in the HEF; empty: none
  std::string digest;         // sha256 of the HEF, hex; empty: not known yet
  uint64_t bytes = 0;         // of the HEF
  int64_t modified_at = 0;    // Unix seconds
  std::string parent;         // of a made one
  std::string system;         // the message in front when a request has none; made ones only
  std::string chat_template;  // Jinja, instead of the HEF's; made ones only
  Json parameters;            // Ollama's options in force when a request has none; made ones only
};

class ModelStore {
 public:
  // Makes the folder; takes away what a killed process left half-written there.
  static Result<ModelStore> open(std::string folder);
  [[nodiscard]] const std::string& folder() const { return folder_; }

  // kNotFound: "model 'x' not found".
  [[nodiscard]] Result<StoredModel> find(std::string_view name) const;
  // All of them, adapters too, newest first.
  [[nodiscard]] Result<std::vector<StoredModel>> list() const;
  [[nodiscard]] Result<std::string> digest_of(const StoredModel& model) const;  // computed once, then kept
  Result<void> copy(std::string_view from, std::string_view to);
  Result<void> remove(std::string_view name);
  // A new model from a HEF that has been put in as a blob ("sha256:...").
  Result<void> create_from_blob(std::string_view name, std::string_view digest);
  // A new name for a base, with an adapter of its HEF, a system message, parameters, a template.
  Result<void> create_from_model(const StoredModel& made);

  [[nodiscard]] bool has_blob(std::string_view digest) const;
  // Takes a file of the store's file system over (renames it) if its content has this digest.
  Result<void> put_blob(std::string_view digest, const std::string& file);
  [[nodiscard]] std::string blob_path(std::string_view digest) const;

 private:
  explicit ModelStore(std::string folder) : folder_(std::move(folder)) {}
  std::string folder_;
};

}  // namespace hotaru::server
