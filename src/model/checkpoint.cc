#include "model/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "model/decoder.h"

namespace hotaru {
namespace {

constexpr size_t kMaxConfigBytes = size_t{4} << 20;

Result<Json> read_json(const std::string& path) {
  TRY_ASSIGN(const std::string text, read_text_file(path, kMaxConfigBytes));
  return parse_json(text, path);
}

// generation_config.json is optional.
Result<Json> read_generation_json(const std::string& path) {
  auto json = read_json(path);
  if (!json && json.error().kind == ErrorKind::kNotFound) return Json::object();
  return json;
}

std::string name_of(const std::string& directory) {
  const std::filesystem::path path = std::filesystem::path(directory).lexically_normal();
  const std::string name = path.has_filename() ? path.filename().string() : path.parent_path().filename().string();
  return name.empty() || name == "." || name == ".." ? "model" : name;
}

// An id that no token has would never end a reply; Hugging Face reads such files without a word.
void drop_unknown_ids(const std::string& directory, int64_t vocabulary, GenerationConfig& generation) {
  const auto is_unknown = [vocabulary](int32_t id) { return id >= vocabulary; };
  const size_t dropped = std::erase_if(generation.eos_ids, is_unknown);
  if (dropped > 0) {
    log_warning(fmt::format("{}: {} end-of-sequence ids are beyond the vocabulary of {} and ignored", directory,
                            dropped, vocabulary));
  }
  if (generation.bos_id && is_unknown(*generation.bos_id)) generation.bos_id.reset();
  if (generation.pad_id && is_unknown(*generation.pad_id)) generation.pad_id.reset();
}

TensorNames tensor_names(const Checkpoint& checkpoint) {
  const Safetensors& tensors = checkpoint.tensors;
  TensorNames names;
  if (tensors.find("model.norm.weight") == nullptr && tensors.find("norm.weight") != nullptr) names.prefix = "";
  names.embedding = names.prefix + "embed_tokens.weight";
  // Of two tied tensors a file holds one, and which one is up to who saved it.
  const bool only_head = tensors.find(names.embedding) == nullptr && tensors.find("lm_head.weight") != nullptr;
  if (checkpoint.config.tied_embeddings && only_head) names.embedding = "lm_head.weight";
  return names;
}

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Result<void> check_tensor(const Safetensors& tensors, const Parameter& parameter) {
  const TensorView* view = tensors.find(parameter.source);
  std::vector<int64_t> want = {parameter.columns};
  if (parameter.rows > 1) want.insert(want.begin(), parameter.rows);
  if (view == nullptr) {
    return make_error(ErrorKind::kNotFound, "tensor '{}': missing, want {}", parameter.source, shape_text(want));
  }
  if (view->shape == want) return {};
  return invalid("tensor '{}': got {}, want {}", parameter.source, shape_text(view->shape), shape_text(want));
}

// Tensors that the graph has no use for: said, because a bias that goes unread is a wrong model.
void warn_unused(const Checkpoint& checkpoint, const Graph& graph) {
  std::set<std::string_view> used = {"lm_head.weight"};  // saved beside the embedding it is tied to
  for (const Parameter& parameter : graph.parameters) used.insert(parameter.source);
  size_t count = 0;
  std::string first;
  for (const auto& [name, view] : checkpoint.tensors.tensors()) {
    if (used.contains(name) || name.ends_with("rotary_emb.inv_freq")) continue;
    if (count++ == 0) first = name;
  }
  if (count == 0) return;
  log_warning(fmt::format("{}: {} tensors are not part of a {} and ignored, the first is '{}'", checkpoint.directory,
                          count, checkpoint.config.architecture, first));
}

}  // namespace

Result<Checkpoint> Checkpoint::open(const std::string& directory) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(directory, ignored)) {
    return make_error(ErrorKind::kNotFound, "{}: no such checkpoint directory", directory);
  }
  const std::filesystem::path folder(directory);
  const std::string config_path = (folder / "config.json").string();
  const std::string generation_path = (folder / "generation_config.json").string();
  Checkpoint checkpoint;
  checkpoint.directory = directory;
  checkpoint.name = name_of(directory);
  TRY_ASSIGN(const Json config, read_json(config_path));
  TRY_ASSIGN(checkpoint.config, parse_model_config(config, config_path));
  TRY_ASSIGN(const Json generation, read_generation_json(generation_path));
  TRY_ASSIGN(checkpoint.generation, parse_generation_config(generation, config, generation_path));
  drop_unknown_ids(directory, checkpoint.config.vocabulary, checkpoint.generation);
  if (!checkpoint.config.note.empty()) log_warning(fmt::format("{}: {}", directory, checkpoint.config.note));
  TRY_ASSIGN(checkpoint.tensors, Safetensors::open(directory));
  return checkpoint;
}

Result<Graph> build_graph(const Checkpoint& checkpoint) {
  Graph graph = build_decoder(checkpoint.config, checkpoint.name, tensor_names(checkpoint));
  for (const Parameter& parameter : graph.parameters) {
    if (parameter.source.empty()) continue;
    if (auto checked = check_tensor(checkpoint.tensors, parameter); !checked) {
      return at(checkpoint.directory, std::move(checked).error());
    }
  }
  warn_unused(checkpoint, graph);
  TRY(verify(graph));
  return graph;
}

Result<Graph> build_graph(const ModelConfig& config, const std::string& name) {
  Graph graph = build_decoder(config, name, TensorNames());
  TRY(verify(graph));
  return graph;
}

}  // namespace hotaru
