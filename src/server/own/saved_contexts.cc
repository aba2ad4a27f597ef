#include "server/own/saved_contexts.h"

#include <algorithm>
#include <filesystem>

#include "server/store/store_files.h"

namespace hotaru::server {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kEnding = ".context";

Result<void> check_name(std::string_view name) {
  const Result<ModelName> parsed = ModelName::parse(name);
  if (parsed && parsed->name == name && name.find('/') == std::string_view::npos) return {};
  return invalid("invalid name '{}' of a saved context: want letters, digits, '.', '_' and '-'", name.substr(0, 100));
}

}  // namespace

Result<std::string> SavedContexts::path_for(std::string_view name) const {
  TRY(check_name(name));
  TRY(make_folders(folder_));
  return fmt::format("{}/{}{}", folder_, name, kEnding);
}

Result<std::string> SavedContexts::path_of(std::string_view name) const {
  TRY(check_name(name));
  std::string path = fmt::format("{}/{}{}", folder_, name, kEnding);
  if (stamp_of(path)) return path;
  return make_error(ErrorKind::kNotFound, "saved context '{}' not found", name);
}

Result<SavedContext> SavedContexts::find(std::string_view name) const {
  TRY_ASSIGN(const std::string path, path_of(name));
  TRY_ASSIGN(const FileStamp stamp, stamp_of(path));
  return SavedContext{std::string(name), stamp.bytes, stamp.modified_ns / 1'000'000'000};
}

Result<std::vector<SavedContext>> SavedContexts::list() const {
  std::vector<SavedContext> saved;
  std::error_code code;
  for (fs::directory_iterator entry(folder_, code), end; !code && entry != end; entry.increment(code)) {
    if (entry->path().extension() != kEnding) continue;
    // One that is gone since is none.
    if (Result<SavedContext> found = find(entry->path().stem().string())) saved.push_back(*std::move(found));
  }
  if (code && code != std::errc::no_such_file_or_directory) {
    return make_error(ErrorKind::kIo, "{}: {}", folder_, code.message());
  }
  std::sort(saved.begin(), saved.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return saved;
}

Result<void> SavedContexts::remove(std::string_view name) const {
  TRY_ASSIGN(const std::string path, path_of(name));
  return remove_file(path);
}

}  // namespace hotaru::server
