#include "server/store/model_store.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "format/hef.h"
#include "server/store/digest_cache.h"
#include "server/store/made_model.h"
#include "server/store/store_files.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kHef = ".hef";
constexpr std::string_view kMade = ".json";
constexpr int64_t kForgottenBlobSeconds = 24 * 3600;

Error not_found(std::string_view name) { return make_error(ErrorKind::kNotFound, "model '{}' not found", name); }

// Every file below the folder, the store's own hidden ones left out.
std::vector<std::string> files_of(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<std::string> files;
  std::error_code code;
  for (fs::recursive_directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
    const bool is_hidden = at->path().filename().native().starts_with('.');
    const bool is_blobs = at.depth() == 0 && at->path().filename() == "blobs";
    if (at->is_directory(code) && (is_hidden || is_blobs)) at.disable_recursion_pending();
    if (!is_hidden) files.push_back(at->path());
  }
  return files;
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code code;
  for (std::filesystem::directory_iterator at(folder, code), end; !code && at != end; at.increment(code)) {
    files.push_back(at->path());
  }
  return files;
}

std::vector<std::string> adapters_of(const std::string& hef_path) {
  std::vector<std::string> names;
  const Result<HefFile> hef = HefFile::open(hef_path, {.verify_checksums = false});
  if (!hef || hef->meta().adapters() == nullptr) return names;
  for (const fb::Adapter* adapter : *hef->meta().adapters()) names.push_back(adapter->name()->str());
  return names;
}

bool is_newer(const StoredModel& a, const StoredModel& b) {
  return a.modified_at != b.modified_at ? a.modified_at > b.modified_at : a.name.text() < b.name.text();
}

}  // namespace

std::string ModelStore::default_folder() {
  if (const char* folder = std::getenv("HOTARU_MODELS"); folder != nullptr && *folder != '\0') return folder;
  const char* home = std::getenv("HOME");
  return std::string(home != nullptr ? home : ".") + "/.hotaru/models";
}

Result<ModelStore> ModelStore::open(std::string folder) {
  std::error_code code;
  const std::filesystem::path absolute = std::filesystem::absolute(folder, code);
  if (!code) folder = absolute.lexically_normal();
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  ModelStore store(std::move(folder));
  TRY(make_folders(store.blob_folder()));
  TRY_ASSIGN(const StoreLock lock, StoreLock::take(store.folder_));
  store.remove_leftovers();
  store.remove_unused_blobs(kForgottenBlobSeconds);
  return store;
}

// What cannot be removed stays: the next one who opens the store tries again.
void ModelStore::remove_leftovers() {
  std::vector<std::string> files = files_of(folder_);
  for (std::string& file : files_in(folder_)) files.push_back(std::move(file));  // hidden ones: the digests
  for (std::string& file : files_in(blob_folder())) files.push_back(std::move(file));
  for (const std::string& file : files) {
    if (is_left_over(file)) (void)remove_file(file).ok();
  }
}

std::string ModelStore::path_of(const std::string& name, std::string_view ending) const {
  return fmt::format("{}/{}{}", folder_, name, ending);
}

Result<StoredModel> ModelStore::read_model(const std::string& name) const {
  StoredModel model;
  const std::string made_path = path_of(name, kMade);
  if (const Result<FileStamp> made = stamp_of(made_path)) {
    TRY_ASSIGN(model, read_made_model(made_path));
    TRY_ASSIGN(model.hef_path, blob_path("sha256:" + model.digest));
    model.modified_at = made->modified_ns / 1'000'000'000;
  } else {
    model.hef_path = path_of(name, kHef);
  }
  model.name.name = name;
  TRY_ASSIGN(const FileStamp hef, stamp_of(model.hef_path));
  model.bytes = hef.bytes;
  if (model.modified_at == 0) model.modified_at = hef.modified_ns / 1'000'000'000;
  if (model.digest.empty()) model.digest = known_digest(folder_, model.hef_path);
  return model;
}

Result<StoredModel> ModelStore::find(std::string_view name) const {
  TRY_ASSIGN(const ModelName wanted, ModelName::parse(name));
  if (!wanted.adapter.empty()) {
    Result<StoredModel> tagged = read_model(wanted.text());
    if (tagged || tagged.error().kind != ErrorKind::kNotFound) return tagged;
  }
  Result<StoredModel> model = read_model(wanted.name);
  if (!model) return model.error().kind == ErrorKind::kNotFound ? not_found(name) : std::move(model).error();
  if (wanted.adapter.empty()) return model;
  const std::vector<std::string> adapters = adapters_of(model->hef_path);
  if (std::find(adapters.begin(), adapters.end(), wanted.adapter) == adapters.end()) return not_found(name);
  model->name.adapter = model->adapter = wanted.adapter;
  return model;
}

// The adapters of the HEFs themselves; made models have what they were made with.
void ModelStore::add_adapters(std::vector<StoredModel>& models) const {
  const size_t count = models.size();
  for (size_t i = 0; i < count; i++) {
    if (models[i].hef_path != path_of(models[i].name.name, kHef)) continue;
    for (std::string& adapter : adapters_of(models[i].hef_path)) {
      StoredModel model = models[i];
      model.name.adapter = model.adapter = std::move(adapter);
      // A file of that name hides it, and one that is no word cannot be asked for.
      const Result<StoredModel> found = find(model.name.text());
      if (found && found->hef_path == model.hef_path && found->adapter == model.adapter) models.push_back(model);
    }
  }
}

Result<std::vector<StoredModel>> ModelStore::list() const {
  std::set<std::string> names;
  for (const std::string& file : files_of(folder_)) {
    std::string_view name = std::string_view(file).substr(folder_.size() + 1);
    const std::string_view ending = name.ends_with(kHef) ? kHef : kMade;
    if (!name.ends_with(ending)) continue;
    name.remove_suffix(ending.size());
    const Result<ModelName> parsed = ModelName::parse(name);
    if (parsed && (parsed->text() == name || parsed->name == name)) names.emplace(name);
  }
  std::vector<StoredModel> models;
  for (const std::string& name : names) {
    if (Result<StoredModel> model = read_model(name)) models.push_back(*std::move(model));
  }
  add_adapters(models);
  std::sort(models.begin(), models.end(), is_newer);
  return models;
}

Result<std::string> ModelStore::digest_of(const StoredModel& model) const {
  return model.digest.empty() ? digest_of_file(folder_, model.hef_path) : model.digest;
}

Result<void> ModelStore::copy(std::string_view from, std::string_view to) {
  TRY_ASSIGN(const StoredModel source, find(from));
  TRY_ASSIGN(const ModelName target, ModelName::parse(to));
  const std::string name = target.adapter.empty() ? target.name : target.text();
  if (source.hef_path != path_of(source.name.name, kHef) || !source.adapter.empty()) {
    StoredModel made = source;
    made.name = target;
    return create_from_model(made);
  }
  if (name == source.name.name) return {};
  TRY_ASSIGN(const StoreLock lock, StoreLock::take(folder_));
  Result<void> linked = link_or_copy(source.hef_path, path_of(name, kHef));
  if (!linked && linked.error().kind == ErrorKind::kNotFound) return not_found(from);
  TRY(std::move(linked));
  TRY(remove_file(path_of(name, kMade)));  // until now it was the model of this name
  remove_unused_blobs(kForgottenBlobSeconds);
  return {};
}

Result<void> ModelStore::remove(std::string_view name) {
  TRY_ASSIGN(const StoredModel model, find(name));
  if (!model.name.adapter.empty()) {
    return not_supported("'{}' is an adapter in the file of '{}': it cannot be removed alone", name, model.name.name);
  }
  TRY_ASSIGN(const StoreLock lock, StoreLock::take(folder_));
  const Result<FileStamp> hef = stamp_of(model.hef_path);
  // The HEF first: were only the JSON gone after a kill, an older HEF of this name would come back.
  TRY(remove_file(path_of(model.name.name, kHef)));
  TRY(remove_file(path_of(model.name.name, kMade)));
  if (hef) {
    const std::vector<std::string> used = blobs_in_use();
    for (const std::string& blob : files_in(blob_folder())) {
      const Result<FileStamp> stamp = stamp_of(blob);
      if (!stamp || stamp->inode != hef->inode || stamp->links > 1) continue;
      if (std::find(used.begin(), used.end(), blob) == used.end()) TRY(remove_file(blob));
    }
  }
  std::error_code not_empty;
  std::filesystem::path folder = std::filesystem::path(path_of(model.name.name, kHef)).parent_path();
  for (; folder.native().size() > folder_.size(); folder = folder.parent_path()) {
    std::filesystem::remove(folder, not_empty);
  }
  return {};
}

Result<void> ModelStore::create_from_blob(std::string_view name, std::string_view digest) {
  TRY_ASSIGN(const ModelName target, ModelName::parse(name));
  TRY_ASSIGN(const std::string blob, blob_path(digest));
  if (!stamp_of(blob)) return make_error(ErrorKind::kNotFound, "blob '{}' not found", digest);
  if (const Result<HefFile> hef = HefFile::open(blob, {.verify_checksums = false}); !hef) return hef.error();
  const std::string stem = target.adapter.empty() ? target.name : target.text();
  {
    TRY_ASSIGN(const StoreLock lock, StoreLock::take(folder_));
    TRY(link_or_copy(blob, path_of(stem, kHef)));
    TRY(remove_file(path_of(stem, kMade)));  // until now it was the model of this name
  }
  keep_digest(folder_, path_of(stem, kHef), std::string(digest.substr(digest.find(':') + 1)));
  return {};
}

Result<void> ModelStore::create_from_model(const StoredModel& made) {
  TRY_ASSIGN(const std::string digest, digest_of(made));
  TRY_ASSIGN(const std::string blob, blob_path("sha256:" + digest));
  StoredModel written = made;
  written.digest = digest;
  const std::string name = made.name.adapter.empty() ? made.name.name : made.name.text();
  TRY(ModelName::parse(name));
  TRY_ASSIGN(const StoreLock lock, StoreLock::take(folder_));
  if (!stamp_of(blob)) TRY(link_or_copy(made.hef_path, blob));
  TRY(write_file(path_of(name, kMade), made_model_text(written)));
  return remove_file(path_of(name, kHef));  // hidden by the JSON
}

Result<std::string> ModelStore::blob_path(std::string_view digest) const {
  constexpr std::string_view kPrefix = "sha256:";
  const std::string_view digits = digest.substr(std::min(kPrefix.size(), digest.size()));
  const bool is_hex = digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!digest.starts_with(kPrefix) || digits.size() != 64 || !is_hex) {
    return invalid("invalid digest '{}': want sha256: and 64 hexadecimal digits", digest.substr(0, 80));
  }
  return fmt::format("{}/sha256-{}", blob_folder(), digits);
}

bool ModelStore::has_blob(std::string_view digest) const {
  const Result<std::string> path = blob_path(digest);
  return path && stamp_of(*path).ok();
}

Result<void> ModelStore::put_blob(std::string_view digest, const std::string& file) {
  TRY_ASSIGN(const std::string path, blob_path(digest));
  TRY_ASSIGN(const std::string found, sha256_of_file(file));
  if (digest != "sha256:" + found) {
    return invalid("digest mismatch, expected \"{}\", got \"sha256:{}\"", digest, found);
  }
  TRY_ASSIGN(const StoreLock lock, StoreLock::take(folder_));
  if (stamp_of(path)) return remove_file(file);
  return move_into_place(file, path);
}

std::vector<std::string> ModelStore::blobs_in_use() const {
  std::vector<std::string> used;
  for (const std::string& file : files_of(folder_)) {
    if (!file.ends_with(kMade)) continue;
    const Result<StoredModel> model = read_made_model(file);
    const Result<std::string> blob = model ? blob_path("sha256:" + model->digest) : model.error();
    if (blob) used.push_back(*blob);
  }
  return used;
}

// Uploads that no model was made of, unfinished pulls and blobs whose models are gone.
void ModelStore::remove_unused_blobs(int64_t unused_seconds) {
  const std::vector<std::string> used = blobs_in_use();
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  for (const std::string& blob : files_in(blob_folder())) {
    const Result<FileStamp> stamp = stamp_of(blob);
    if (!stamp || stamp->links > 1 || std::find(used.begin(), used.end(), blob) != used.end()) continue;
    const auto age = now - std::chrono::nanoseconds(stamp->modified_ns);
    if (age > std::chrono::seconds(unused_seconds)) (void)remove_file(blob).ok();
  }
}

}  // namespace hotaru::server
