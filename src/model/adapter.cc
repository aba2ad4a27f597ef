#include "model/adapter.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "base/file.h"
#include "base/hash.h"
#include "format/safetensors.h"
#include "model/adapter_config.h"

namespace hotaru {
namespace {

constexpr size_t kMaxConfigBytes = size_t{4} << 20;

struct Module {
  std::string_view path;  // within a layer of the checkpoint
  std::string_view node;  // within a layer of the graph
};
constexpr std::array kModules = {Module{"self_attn.q_proj", "q"}, Module{"self_attn.k_proj", "k"},
                                 Module{"self_attn.v_proj", "v"}, Module{"self_attn.o_proj", "o"},
                                 Module{"mlp.gate_proj", "gate"}, Module{"mlp.up_proj", "up"},
                                 Module{"mlp.down_proj", "down"}};
constexpr std::string_view kWanted = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj or down_proj of a layer";

std::string_view short_name(const Module& module) { return module.path.substr(module.path.find('.') + 1); }

// A linear that an adapter may have: one of the seven in one of the layers.
struct Place {
  const Module* module = nullptr;
  int64_t layer = 0;
  [[nodiscard]] std::string path() const { return fmt::format("layers.{}.{}", layer, module->path); }
  [[nodiscard]] std::string node() const { return fmt::format("layers.{}.{}", layer, module->node); }
};

// Names of an addition's two tensors; empty: not there.
struct Halves {
  Place place;
  std::string down, up;
};

// "base_model.model.model.layers.3.self_attn.q_proj" -> layer 3, q
Result<Place> place_of(std::string_view path, int64_t layers) {
  Place place;
  const size_t begin = path.find("layers.");
  if (begin != std::string_view::npos) {
    const std::string_view digits = path.substr(begin + 7);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), place.layer);
    const auto used = static_cast<size_t>(end - digits.data());
    if (error == std::errc() && used < digits.size() && digits[used] == '.') {
      const auto module = std::ranges::find(kModules, digits.substr(used + 1), &Module::path);
      if (module != kModules.end()) place.module = &*module;
    }
  }
  if (place.module == nullptr) return not_supported("adapts '{}', want {}", path, kWanted);
  if (place.layer >= 0 && place.layer < layers) return place;
  return invalid("got layer {}, the model has layers 0 to {}", place.layer, layers - 1);
}

Result<void> refuse_other_tensors(std::string_view name) {
  if (name.find("lora_magnitude_vector") != std::string_view::npos) return not_supported("DoRA is not supported");
  if (name.find("lora_embedding_") != std::string_view::npos) {
    return not_supported("adapters of embeddings are not supported");
  }
  if (name.ends_with(".bias")) return not_supported("trained biases are not supported");
  return not_supported("want lora_A and lora_B weights only; modules saved as a whole are not supported");
}

class Reader {
 public:
  Reader(const Graph& graph, const AdapterConfig& config, const Safetensors& tensors)
      : graph_(graph), config_(config), tensors_(tensors) {}

  Result<void> read(PeftAdapter& adapter) {
    TRY(find_halves());
    TRY(check_targets());
    for (int64_t layer = 0; layer < graph_.shape.layers; layer++) {
      for (const Module& module : kModules) {
        const auto found = halves_.find(Place{&module, layer}.path());
        if (found == halves_.end()) continue;
        TRY_ASSIGN(LowRank addition, read_addition(found->second));
        adapter.additions.push_back(std::move(addition));
      }
    }
    for (const Module& module : kModules) {
      const auto is_this = [&module](const auto& entry) { return entry.second.place.module == &module; };
      if (std::ranges::any_of(halves_, is_this)) adapter.targets.emplace_back(short_name(module));
    }
    if (adapter.additions.empty()) return invalid("has no tensors");
    return {};
  }

 private:
  Result<void> find_halves() {
    for (const auto& [name, view] : tensors_.tensors()) {
      auto done = add_half(name);
      if (!done) return at(fmt::format("tensor '{}'", name), std::move(done).error());
    }
    return {};
  }

  // ....lora_A.weight, or ....lora_A.ADAPTER.weight
  Result<void> add_half(const std::string& name) {
    const bool is_down = name.find(".lora_A.") != std::string::npos;
    const size_t dot = name.find(is_down ? ".lora_A." : ".lora_B.");
    if (dot == std::string::npos || !name.ends_with(".weight")) return refuse_other_tensors(name);
    TRY_ASSIGN(const Place place, place_of(std::string_view(name).substr(0, dot), graph_.shape.layers));
    Halves& halves = halves_[place.path()];
    halves.place = place;
    std::string& half = is_down ? halves.down : halves.up;
    if (!half.empty()) return invalid("there is '{}' already; want one adapter in a file", half);
    half = name;
    return {};
  }

  // What the config promises is there and nothing else.
  Result<void> check_targets() const {
    for (const std::string& target : config_.target_modules) {
      const auto is_named = [&target](const Module& module) {
        const std::string_view last = std::string_view(target).substr(target.rfind('.') + 1);
        return last == short_name(module);
      };
      if (std::ranges::any_of(kModules, is_named)) continue;
      return not_supported("'target_modules': got '{}', want {}", target, kWanted);
    }
    for (const auto& [path, halves] : halves_) {
      if (config_.target_modules.empty() || config_.is_target(path, halves.place.layer)) continue;
      return invalid("'{}' has tensors, but the config's 'target_modules' and 'layers_to_transform' do not name it",
                     path);
    }
    for (int64_t layer = 0; layer < graph_.shape.layers; layer++) {
      for (const Module& module : kModules) {
        const std::string path = Place{&module, layer}.path();
        if (!config_.is_target(path, layer) || halves_.contains(path)) continue;
        return make_error(ErrorKind::kNotFound, "'{}': its lora_A and lora_B are missing, the config names it", path);
      }
    }
    return {};
  }

  Result<LowRank> read_addition(const Halves& halves) const {
    const std::string path = halves.place.path();
    if (halves.down.empty() || halves.up.empty()) {
      return make_error(ErrorKind::kNotFound, "'{}': its {} is missing", path,
                        halves.down.empty() ? "lora_A" : "lora_B");
    }
    LowRank addition;
    addition.node = halves.place.node();
    addition.rank = config_.rank_of(path);
    const Node* node = find_linear(graph_, addition.node);
    if (node == nullptr) return invalid("'{}': the model has no such linear layer", path);
    const Parameter& weight = graph_.parameters[static_cast<size_t>(node->weight)];
    TRY_ASSIGN(const auto down, tensors_.read_f32(halves.down, std::array{addition.rank, weight.columns}));
    TRY_ASSIGN(const auto up, tensors_.read_f32(halves.up, std::array{weight.rows, addition.rank}));
    const double scale = config_.scale_of(path);
    addition.down.assign(down.begin(), down.end());
    for (const float value : up) addition.up.push_back(scale * static_cast<double>(value));
    return addition;
  }

  const Graph& graph_;
  const AdapterConfig& config_;
  const Safetensors& tensors_;
  std::map<std::string, Halves, std::less<>> halves_;  // by path
};

Result<Safetensors> open_tensors(const std::filesystem::path& folder) {
  const std::string path = (folder / "adapter_model.safetensors").string();
  auto tensors = Safetensors::open(path);
  std::error_code ignored;
  if (!tensors && std::filesystem::exists(folder / "adapter_model.bin", ignored)) {
    return not_supported("{}: want adapter_model.safetensors; adapter_model.bin is a pickle, save it again with PEFT",
                         folder.string());
  }
  return tensors;
}

}  // namespace

Result<PeftAdapter> open_adapter(const std::string& directory, const Graph& graph) {
  std::filesystem::path folder = std::filesystem::path(directory).lexically_normal();
  if (!folder.has_filename()) folder = folder.parent_path();
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    return make_error(ErrorKind::kNotFound, "{}: no such adapter directory", directory);
  }
  const std::string config_path = (folder / "adapter_config.json").string();
  TRY_ASSIGN(const std::string text, read_text_file(config_path, kMaxConfigBytes));
  TRY_ASSIGN(const Json json, parse_json(text, config_path));
  TRY_ASSIGN(const AdapterConfig config, parse_adapter_config(json, config_path));
  TRY_ASSIGN(const Safetensors tensors, open_tensors(folder));
  PeftAdapter adapter;
  adapter.name = folder.filename().string();
  adapter.base_model = config.base_model;
  adapter.rank = config.rank;
  adapter.alpha = config.alpha;
  Sha256 hash;
  for (const auto bytes : tensors.file_bytes()) hash.update(bytes);
  hash.update(std::as_bytes(std::span(text)));
  adapter.source_hash = hash.finish_hex();
  auto read = Reader(graph, config, tensors).read(adapter);
  if (!read) return at(directory, std::move(read).error());
  return adapter;
}

}  // namespace hotaru
