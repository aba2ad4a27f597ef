#include "server/store/digest_cache.h"

#include "base/file.h"
#include "base/json.h"
#include "server/store/store_files.h"

namespace hotaru::server {
namespace {

constexpr size_t kKept = 4096;  // the oldest go first

std::string cache_path(const std::string& folder) { return folder + "/.digests.json"; }

// A cache that cannot be read is an empty one.
Json read_cache(const std::string& folder) {
  const Result<std::string> text = read_text_file(cache_path(folder));
  if (!text) return Json::object();
  Result<Json> cache = parse_json(*text, cache_path(folder));
  return cache && cache->is_object() ? *std::move(cache) : Json::object();
}

}  // namespace

std::string known_digest(const std::string& folder, const std::string& file) {
  const Result<FileStamp> stamp = stamp_of(file);
  if (!stamp) return {};
  const Json cache = read_cache(folder);
  const auto found = cache.find(stamp->text());
  return found != cache.end() && found->is_string() ? found->get<std::string>() : std::string();
}

void keep_digest(const std::string& folder, const std::string& file, const std::string& digest) {
  const Result<FileStamp> stamp = stamp_of(file);
  const Result<StoreLock> lock = StoreLock::take(folder);
  if (!stamp || !lock) return;
  Json cache = read_cache(folder);
  while (cache.size() >= kKept) cache.erase(cache.begin());
  cache[stamp->text()] = digest;
  (void)write_file(cache_path(folder), cache.dump(1)).ok();
}

Result<std::string> digest_of_file(const std::string& folder, const std::string& file) {
  if (std::string known = known_digest(folder, file); !known.empty()) return known;
  TRY_ASSIGN(const FileStamp before, stamp_of(file));
  TRY_ASSIGN(std::string digest, sha256_of_file(file));
  TRY_ASSIGN(const FileStamp after, stamp_of(file));
  if (before.text() == after.text()) keep_digest(folder, file, digest);
  return digest;
}

}  // namespace hotaru::server
