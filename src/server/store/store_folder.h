// For tests: a store in a folder of its own, with tiny HEFs in it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/hash.h"
#include "format/sample_hef.h"
#include "server/store/model_store.h"

namespace hotaru::server {

// A whole HEF; the adapters change nothing. Another `seed`, another content.
inline std::vector<std::byte> tiny_hef(const std::vector<std::string>& adapters = {}, int seed = 0) {
  SampleHef sample;
  sample.meta.identity = std::make_unique<fb::ModelIdentityT>();
  sample.meta.identity->name = fmt::format("tiny{}", seed);
  sample.meta.identity->architecture = "Qwen2ForCausalLM";
  sample.meta.identity->parameters = 1'500'000'000;
  for (const std::string& name : adapters) {
    auto adapter = std::make_unique<fb::AdapterT>();
    adapter->name = name;
    sample.meta.adapters.push_back(std::move(adapter));
  }
  const std::vector<std::byte> meta = pack_meta(sample.meta);
  const std::vector<std::byte> nothing(64);
  return pack_container(
      FileKind::kHef,
      {{SectionType::kMeta, meta}, {SectionType::kWeights, sample.weights}, {SectionType::kAdapter, nothing}});
}

class StoreFolder {
 public:
  StoreFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hotaru_store_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  StoreFolder(const StoreFolder&) = delete;
  StoreFolder& operator=(const StoreFolder&) = delete;
  ~StoreFolder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] bool has(const std::string& name) const { return std::filesystem::exists(path(name)); }
  [[nodiscard]] ModelStore open() const { return *ModelStore::open(path_); }
  void write(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories(std::filesystem::path(path(name)).parent_path());
    std::ofstream(path(name), std::ios::binary) << text;
  }
  void write(const std::string& name, const std::vector<std::byte>& bytes) const {
    write(name, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
  // Every file, hidden ones left out.
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path_)) {
      if (!entry.is_regular_file() || entry.path().filename().native().starts_with('.')) continue;
      names.push_back(std::filesystem::relative(entry.path(), path_));
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  std::string path_;
};

}  // namespace hotaru::server
