#include "compiler/synthetic.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <memory>

#include "base/file.h"
#include "base/json.h"
#include "compiler/compile.h"
#include "compiler/source_hash.h"
#include "compiler/synthetic_tensors.h"
#include "model/checkpoint.h"

namespace hotaru {
namespace {

// Behind a norm activations are near a standard normal; mixtures and products of such stay below this, too.
constexpr float kReach = 5.0F;
constexpr float kEmbeddingSize = 0.05F;

class SyntheticModel {
 public:
  SyntheticModel(Graph graph, uint64_t seed) : tensors_(std::make_shared<SyntheticTensors>(seed)) {
    model_.graph = std::move(graph);
  }

  OptimisedModel build(const std::string& producer) {
    model_.stored.resize(model_.graph.parameters.size());
    for (Node& node : model_.graph.nodes) add_parameters(node);
    set_ranges();
    model_.identity.name = model_.graph.name;
    model_.identity.architecture = model_.graph.architecture;
    model_.identity.producer = producer;
    model_.identity.synthetic = true;
    model_.quantisation.recipe = "synthetic";
    model_.quantisation.weights = "int4 group 32";
    model_.quantisation.activations = "uint8 per tensor static";
    model_.quantisation.kv = "uint8 per tensor static";
    model_.quantisation.calibration = "none: random weights";
    model_.generation.temperature = model_.generation.top_p = model_.generation.min_p =
        model_.generation.repetition_penalty = std::numeric_limits<float>::quiet_NaN();
    model_.generation.top_k = -1;
    model_.bytes = [tensors = tensors_](int tensor) { return tensors->bytes(tensor); };
    return std::move(model_);
  }

 private:
  void add_parameters(Node& node) {
    if (node.kind == NodeKind::kEmbed || node.kind == NodeKind::kLinear) add_matrix(node);
    if (node.kind == NodeKind::kRmsNorm) node.weight = kNone;  // as after fold-norms
    if (node.kind == NodeKind::kHeadNorm) add_vector(node.weight, 1.0F);
    if (node.bias != kNone) add_vector(node.bias, 0.0F);
    if (node.frequency != kNone) add_frequency(node.frequency);
  }

  void add_matrix(const Node& node) {
    StoredParameter& stored = model_.stored[static_cast<size_t>(node.weight)];
    if (stored.packed != -1) return;  // tied
    const Parameter& parameter = model_.graph.parameters[static_cast<size_t>(node.weight)];
    const bool is_int8 = node.kind == NodeKind::kEmbed || node.layer == model_.graph.shape.layers;
    const SyntheticTensors::Matrix matrix{static_cast<uint64_t>(node.weight), static_cast<size_t>(parameter.rows),
                                          static_cast<size_t>(parameter.columns), is_int8};
    // Outputs of a linear have about the size of its inputs.
    const float size =
        node.kind == NodeKind::kEmbed ? kEmbeddingSize : 1.0F / std::sqrt(static_cast<float>(parameter.columns));
    const fb::Layout layout = is_int8 ? fb::Layout::PackedInt8 : fb::Layout::PackedInt4;
    stored.packed = tensors_->add_matrix(matrix);
    model_.tensors.push_back({parameter.name, layout, {matrix.rows, matrix.inputs}});
    stored.row_scale = tensors_->add_repeated(size / SyntheticTensors::deviation(is_int8), matrix.rows);
    model_.tensors.push_back({parameter.name + ".row_scale", fb::Layout::F32, {matrix.rows}});
    stored.row_sum = tensors_->add_row_sums(matrix);
    model_.tensors.push_back({parameter.name + ".row_sum", fb::Layout::I32, {matrix.rows}});
  }

  void add_vector(ParameterId id, float value) {
    const Parameter& parameter = model_.graph.parameters[static_cast<size_t>(id)];
    const auto count = static_cast<size_t>(parameter.columns);
    model_.stored[static_cast<size_t>(id)].values = tensors_->add_repeated(value, count);
    model_.tensors.push_back({parameter.name, fb::Layout::F32, {count}});
  }

  void add_frequency(ParameterId id) {
    StoredParameter& stored = model_.stored[static_cast<size_t>(id)];
    if (stored.values != -1) return;  // one for all layers
    const Parameter& parameter = model_.graph.parameters[static_cast<size_t>(id)];
    stored.values = tensors_->add_values(parameter.values);
    model_.tensors.push_back({parameter.name, fb::Layout::F64, {parameter.values.size()}});
  }

  void set_ranges() {
    const StaticRange asymmetric{2 * kReach / 255, 128};
    const StaticRange symmetric{kReach / 127, 0};
    for (Value& value : model_.graph.values) value.ranges = {value.is_symmetric ? symmetric : asymmetric};
  }

  std::shared_ptr<SyntheticTensors> tensors_;
  OptimisedModel model_;
};

// ".../Qwen2-1.5B-Instruct/config.json" -> "Qwen2-1.5B-Instruct"
std::string model_name(const std::string& config_path) {
  const std::filesystem::path path = std::filesystem::path(config_path).lexically_normal();
  const std::string folder = path.parent_path().filename().string();
  return path.filename() == "config.json" && !folder.empty() ? folder : path.stem().string();
}

}  // namespace

Result<void> write_synthetic_hef(const std::string& config_path, const SyntheticOptions& options,
                                 const std::string& output) {
  TRY_ASSIGN(const std::string text, read_text_file(config_path));
  TRY_ASSIGN(const Json json, parse_json(text, config_path));
  TRY_ASSIGN(const ModelConfig config, parse_model_config(json, config_path));
  TRY_ASSIGN(Graph graph, build_graph(config, model_name(config_path)));
  const uint64_t parameters = parameter_count(graph);
  OptimisedModel model = SyntheticModel(std::move(graph), options.seed).build(options.producer);
  model.identity.parameters = parameters;
  TRY(write_hef(model, options.context_tokens, nullptr, output));
  return {};
}

}  // namespace hotaru
