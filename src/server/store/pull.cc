#include "server/store/pull.h"

#include <chrono>
#include <cstdlib>

#include "base/json.h"
#include "server/http_client.h"
#include "server/store/partial_file.h"

namespace hotaru::server {
namespace {

constexpr size_t kLongestManifest = size_t{4} << 20;
constexpr int kAttempts = 5;  // without a byte of progress between them
constexpr auto kStatusEvery = std::chrono::milliseconds(100);
constexpr int64_t kLargestLayer = int64_t{1} << 50;

// Where the registry has it: "qwen2:1.5b" is library/qwen2, tag 1.5b.
struct RegistryPlace {
  std::string root;  // "https://host/v2/library/qwen2"
  std::string tag;
};

struct Layer {
  std::string digest;
  uint64_t bytes = 0;
};

Result<RegistryPlace> place_of(const ModelName& name, const std::string& registry) {
  const std::string& path = name.name;
  if (path.find(':') != std::string::npos) return invalid("pull '{}': want a name and at most one tag", name.text());
  RegistryPlace place;
  place.root = fmt::format("{}/v2/{}{}", registry, path.find('/') == std::string::npos ? "library/" : "", path);
  place.tag = name.adapter.empty() ? "latest" : name.adapter;
  return place;
}

Result<Layer> hef_layer(const Json& manifest, const std::string& url) {
  const auto layers = manifest.find("layers");
  if (layers == manifest.end() || !layers->is_array()) return invalid("{}: the manifest has no 'layers'", url);
  std::string types;
  for (const Json& layer : *layers) {
    if (!layer.is_object()) return invalid("{}: 'layers': got {}, want objects", url, layer.type_name());
    TRY_ASSIGN(const std::string type, json_string(layer, "mediaType", ""));
    types += (types.empty() ? "" : ", ") + type;
    if (type != kHefMediaType) continue;
    Layer found;
    TRY_ASSIGN(found.digest, json_string(layer, "digest", ""));
    TRY_ASSIGN(const int64_t bytes, json_integer(layer, "size", 1, kLargestLayer));
    found.bytes = static_cast<uint64_t>(bytes);
    return found;
  }
  return not_supported("{}: no layer is a HEF ({}); there are: {}", url, kHefMediaType, types.empty() ? "none" : types);
}

Result<Layer> fetch_manifest(const RegistryPlace& place, std::string_view name, const PullOptions& options) {
  HttpFetch fetch;
  fetch.url = fmt::format("{}/manifests/{}", place.root, place.tag);
  fetch.headers = {{"Accept", "application/vnd.docker.distribution.manifest.v2+json"}};
  fetch.is_cancelled = options.is_cancelled;
  const std::string url = fetch.url;
  TRY_ASSIGN(const HttpAnswer answer, http_fetch_text(std::move(fetch), kLongestManifest));
  if (answer.status == 404) {
    return make_error(ErrorKind::kNotFound, "model '{}' not found: {} does not have it", name, options.registry);
  }
  if (answer.status != 200) return make_error(ErrorKind::kIo, "{}: got status {}, want 200", url, answer.status);
  TRY_ASSIGN(const Json manifest, parse_json(answer.body, url));
  if (!manifest.is_object()) return invalid("{}: got {}, want an object", url, manifest.type_name());
  return hef_layer(manifest, url);
}

class LayerDownload {
 public:
  LayerDownload(PartialFile& file, const Layer& layer, const PullOptions& options)
      : file_(file), layer_(layer), options_(options) {
    status_ = {"pulling " + layer.digest.substr(layer.digest.find(':') + 1, 12), layer.digest, layer.bytes, 0};
  }

  Result<void> run(const std::string& url) {
    if (file_.bytes() > layer_.bytes) TRY(file_.clear());
    tell();
    int failures = 0;
    while (file_.bytes() < layer_.bytes) {
      const uint64_t before = file_.bytes();
      Result<void> part = fetch_part(url);
      if (part && file_.bytes() == layer_.bytes) break;
      if (part) part = make_error(ErrorKind::kIo, "{}: ended after {} of {} bytes", url, file_.bytes(), layer_.bytes);
      const ErrorKind kind = part.error().kind;
      const bool may_retry = is_transfer_error_ && (kind == ErrorKind::kIo || kind == ErrorKind::kTimeout);
      if (!may_retry) return part;
      failures = file_.bytes() > before ? 0 : failures + 1;
      if (failures >= kAttempts) return part;
    }
    tell();
    return {};
  }

 private:
  Result<void> fetch_part(const std::string& url) {
    is_transfer_error_ = true;
    HttpFetch fetch;
    fetch.url = url;
    fetch.offset = file_.bytes();
    fetch.is_cancelled = options_.is_cancelled;
    bool is_first = true;
    fetch.on_bytes = [&](int status, std::span<const std::byte> bytes) {
      const Result<void> taken = take(status == 200 && is_first, bytes);
      is_first = false;
      if (!taken) is_transfer_error_ = false;
      return taken;
    };
    TRY_ASSIGN(const HttpAnswer answer, http_fetch(fetch));
    if (answer.status == 200 || answer.status == 206) return {};
    is_transfer_error_ = answer.status >= 500 || answer.status == 416;
    if (answer.status == 416) TRY(file_.clear());
    return make_error(answer.status == 404 ? ErrorKind::kNotFound : ErrorKind::kIo, "{}: got status {}, want 200", url,
                      answer.status);
  }

  // A registry that grants no range sends all again.
  Result<void> take(bool is_from_start, std::span<const std::byte> bytes) {
    if (is_from_start && file_.bytes() > 0) TRY(file_.clear());
    if (bytes.size() > layer_.bytes - file_.bytes()) {
      return invalid("{}: got more than the {} bytes of the manifest", layer_.digest, layer_.bytes);
    }
    TRY(file_.append(bytes));
    if (std::chrono::steady_clock::now() - told_ > kStatusEvery) tell();
    return {};
  }

  void tell() {
    status_.completed = file_.bytes();
    told_ = std::chrono::steady_clock::now();
    options_.on_status(status_);
  }

  PartialFile& file_;
  const Layer& layer_;
  const PullOptions& options_;
  PullStatus status_;
  std::chrono::steady_clock::time_point told_;
  bool is_transfer_error_ = true;
};

Result<void> pull_layer(ModelStore& store, const RegistryPlace& place, const Layer& layer, const PullOptions& options) {
  TRY_ASSIGN(const std::string blob, store.blob_path(layer.digest));
  TRY_ASSIGN(PartialFile file, PartialFile::open(blob + ".partial"));
  TRY(LayerDownload(file, layer, options).run(fmt::format("{}/blobs/{}", place.root, layer.digest)));
  options.on_status({"verifying sha256 digest", {}, 0, 0});
  Result<void> put = store.put_blob(layer.digest, file.path());
  if (!put && put.error().kind == ErrorKind::kInvalid) file.remove();  // going on from wrong bytes never ends well
  return put;
}

}  // namespace

std::string registry_from_environment() {
  const char* value = std::getenv("HOTARU_REGISTRY");
  std::string registry = value != nullptr ? value : "";
  while (registry.ends_with('/')) registry.pop_back();
  return registry.empty() || registry.find("://") != std::string::npos ? registry : "https://" + registry;
}

Result<void> pull_model(ModelStore& store, std::string_view name, const PullOptions& options) {
  TRY_ASSIGN(const ModelName parsed, ModelName::parse(name));
  if (options.registry.empty()) {
    return not_supported("pull '{}': no registry is configured; HOTARU_REGISTRY names one", name);
  }
  options.on_status({"pulling manifest", {}, 0, 0});
  TRY_ASSIGN(const RegistryPlace place, place_of(parsed, options.registry));
  TRY_ASSIGN(const Layer layer, fetch_manifest(place, name, options));
  TRY(store.blob_path(layer.digest));
  if (store.has_blob(layer.digest)) {
    const std::string digits = layer.digest.substr(layer.digest.find(':') + 1, 12);
    options.on_status({"pulling " + digits, layer.digest, layer.bytes, layer.bytes});
  } else {
    TRY(pull_layer(store, place, layer, options));
  }
  options.on_status({"writing manifest", {}, 0, 0});
  TRY(store.create_from_blob(parsed.text(), layer.digest));
  options.on_status({"success", {}, 0, 0});
  return {};
}

}  // namespace hotaru::server
