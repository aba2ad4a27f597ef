// The models of a folder: NAME.hef is model NAME, each adapter in it is NAME:ADAPTER. A model that was made of another
// one (`create` with a base, an adapter, a system message) is a small NAME.json beside the HEFs; it names its HEF by
// digest. blobs/sha256-HEX are files by content: linked to the HEFs, not copied. Every change is whole or did not
// happen, whatever is killed when. One lock file orders the changes of all processes; readers take none.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "base/result.h"

namespace hotaru::server {

// "name", "name:latest" (the same), "name:tag", "name:adapter", "name:tag:adapter". Parts between '/' and the words
// behind ':' are 1 to 80 letters, digits, '.', '_', '-' that begin with a letter, a digit or '_'; at most 4 parts.
struct ModelName {
  std::string name;     // with its tag where the store has such a file; never a path that leaves the folder
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
  std::string license;        // made ones only
  Json parameters;            // Ollama's options in force when a request has none; made ones only, else null
};

class ModelStore {
 public:
  // HOTARU_MODELS, or ~/.hotaru/models.
  static std::string default_folder();
  // Makes the folder; takes away what a killed process left half-written there.
  static Result<ModelStore> open(std::string folder);
  [[nodiscard]] const std::string& folder() const { return folder_; }
  // For files on their way into the store: the same file system; "*.PID.tmp" and "*.tmp" there do not outlive their
  // writer (store_files.h is_left_over).
  [[nodiscard]] std::string blob_folder() const { return folder_ + "/blobs"; }

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
  // kInvalid: not "sha256:" and 64 hexadecimal digits.
  [[nodiscard]] Result<std::string> blob_path(std::string_view digest) const;

 private:
  explicit ModelStore(std::string folder) : folder_(std::move(folder)) {}
  [[nodiscard]] std::string path_of(const std::string& name, std::string_view ending) const;
  [[nodiscard]] Result<StoredModel> read_model(const std::string& name) const;
  void add_adapters(std::vector<StoredModel>& models) const;
  void remove_leftovers();
  [[nodiscard]] std::vector<std::string> blobs_in_use() const;
  void remove_unused_blobs(int64_t unused_seconds);
  std::string folder_;
};

}  // namespace hotaru::server
