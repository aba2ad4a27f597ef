// optimise(): everything around the passes. Imports the checkpoint, writes the HAR section by section.
#include <filesystem>
#include <limits>
#include <optional>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "compiler/har_model.h"
#include "compiler/lower.h"
#include "compiler/pipeline.h"
#include "compiler/report_file.h"
#include "compiler/source_hash.h"
#include "compiler/text_sections.h"
#include "format/container_writer.h"
#include "model/checkpoint.h"

namespace hotaru {
namespace {

fb::GenerationDefaultsT generation_table(const GenerationConfig& config) {
  constexpr double kSilent = std::numeric_limits<double>::quiet_NaN();
  fb::GenerationDefaultsT table;
  table.do_sample = config.do_sample;
  table.temperature = static_cast<float>(config.temperature.value_or(kSilent));
  table.top_p = static_cast<float>(config.top_p.value_or(kSilent));
  table.top_k = static_cast<int32_t>(config.top_k.value_or(-1));
  table.min_p = static_cast<float>(config.min_p.value_or(kSilent));
  table.repetition_penalty = static_cast<float>(config.repetition_penalty.value_or(kSilent));
  table.eos_ids = config.eos_ids;
  table.bos_id = config.bos_id.value_or(-1);
  table.pad_id = config.pad_id.value_or(-1);
  return table;
}

// Bits that a weight of the quantised matrices costs in the file, scales included.
float bits_per_weight(const std::vector<std::unique_ptr<fb::TensorT>>& tensors) {
  double bits = 0;
  double weights = 0;
  for (const auto& tensor : tensors) {
    if (tensor->layout != fb::Layout::PackedInt4 && tensor->layout != fb::Layout::PackedInt8) continue;
    bits += 8 * static_cast<double>(tensor->bytes + tensor->shape[0] * sizeof(float));
    weights += static_cast<double>(tensor->shape[0] * tensor->shape[1]);
  }
  return weights > 0 ? static_cast<float>(bits / weights) : 0;
}

// Before hours of work: would the result compile?
Result<void> check_graph(const Graph& graph, int group) {
  TRY(check_sizes(graph.shape));
  for (const Node& node : graph.nodes) {
    if (node.kind != NodeKind::kLinear || node.layer == graph.shape.layers) continue;
    const Parameter& weight = graph.parameters[static_cast<size_t>(node.weight)];
    if (weight.columns % group == 0) continue;
    return not_supported("'{}' [{}, {}]: want a number of inputs divisible by the group, {}", weight.name, weight.rows,
                         weight.columns, group);
  }
  return {};
}

class Optimiser {
 public:
  Optimiser(const OptimiseOptions& options, ThreadPool& pool) : options_(options), pool_(pool) {}

  Result<OptimiseResult> run(const std::string& directory, const std::string& har_path) {
    TRY_ASSIGN(const auto passes, passes_of(options_.recipe));
    for (const std::string& file : options_.report_files) TRY(check_report_file(file));
    TRY_ASSIGN(checkpoint_, Checkpoint::open(directory));
    TRY_ASSIGN(graph_, build_graph(checkpoint_));
    TRY(check_graph(graph_, options_.group));
    TRY_ASSIGN(text_, load_text(directory));
    TRY(load_calibration_text());
    TRY_ASSIGN(ContainerWriter writer, ContainerWriter::create(har_path, FileKind::kHar));
    TRY(writer.begin_section(SectionType::kWeights));
    TensorSection tensors(&writer);
    const ParameterSource parameters(&graph_, &checkpoint_.tensors);
    PassContext context;
    context.graph = &graph_;
    context.parameters = &parameters;
    context.calibration = &calibration_;
    context.pool = &pool_;
    context.tensors = &tensors;
    context.group = options_.group;
    context.folder = std::filesystem::absolute(har_path).parent_path().string();
    context.report = &result_.report;
    TRY_ASSIGN(source_hash_, source_hash(checkpoint_));
    context.skip = options_.skip;
    context.resume = {har_path + ".resume", resume_key(), options_.resume};
    start_report();
    TRY_ASSIGN(result_.wrote_har, run_passes(passes, options_, context));
    if (result_.wrote_har) {
      TRY(writer.end_section());
      TRY(write_har(writer, context));
      std::error_code error;
      std::filesystem::remove_all(context.resume.folder, error);
    }
    for (const std::string& file : options_.report_files) TRY(write_report(result_.report, file));
    return std::move(result_);
  }

 private:
  Result<void> load_calibration_text() {
    const CalibrationLimits limits{graph_.shape.max_positions, graph_.shape.vocabulary};
    TRY_ASSIGN(calibration_, load_calibration(options_.calibration, limits, text_ ? &*text_ : nullptr));
    for (const std::string& warning : calibration_.warnings) log_warning(warning);
    return {};
  }

  // Whatever a finished layer depends on.
  std::string resume_key() const {
    std::string text = fmt::format("{}\n{}\n{}\n{}\n{}\n", options_.producer, source_hash_, options_.recipe,
                                   options_.group, options_.calibration.seed);
    for (const std::string& pass : options_.skip) text += pass + "\n";
    for (const int64_t length : calibration_.batch.lengths) text += fmt::format("{} ", length);
    for (const int32_t id : calibration_.batch.ids) text += fmt::format("{} ", id);
    return sha256_hex(std::as_bytes(std::span(text)));
  }

  void start_report() {
    OptimiseReport& report = result_.report;
    report.model = graph_.name;
    report.architecture = graph_.architecture;
    report.recipe = options_.recipe;
    report.group = options_.group;
    report.seed = options_.calibration.seed;
    report.calibration = calibration_.description;
    report.warnings = calibration_.warnings;
  }

  Result<void> write_har(ContainerWriter& writer, PassContext& context) {
    fb::HarT meta = har_meta(graph_, context.stored);
    meta.tensors = context.tensors->take();
    meta.identity = std::make_unique<fb::ModelIdentityT>();
    meta.identity->name = graph_.name;
    meta.identity->architecture = graph_.architecture;
    meta.identity->producer = options_.producer;
    meta.identity->source_hash = source_hash_;
    meta.identity->parameters = parameter_count(graph_);
    meta.quantisation = std::make_unique<fb::QuantisationInfoT>();
    meta.quantisation->recipe = options_.recipe;
    meta.quantisation->weights = fmt::format("int4 group {}", options_.group);
    meta.quantisation->activations = "uint8 per tensor static";
    meta.quantisation->kv = "uint8 per tensor static";
    meta.quantisation->group = static_cast<uint32_t>(options_.group);
    meta.quantisation->bits_per_weight = bits_per_weight(meta.tensors);
    meta.quantisation->calibration = calibration_.description;
    meta.generation = std::make_unique<fb::GenerationDefaultsT>(generation_table(checkpoint_.generation));
    if (text_) TRY(write_text_sections(writer, *text_));
    TRY_ASSIGN(const std::string config, read_text_file(checkpoint_.directory + "/config.json"));
    TRY(writer.add_section(SectionType::kModelConfig, 0, std::as_bytes(std::span(config))));
    const std::string report = to_json(result_.report, false).dump(1);
    TRY(writer.add_section(SectionType::kReport, 0, std::as_bytes(std::span(report))));
    TRY(writer.add_section(SectionType::kMeta, 0, pack_meta(meta)));
    return writer.finish();
  }

  const OptimiseOptions& options_;
  ThreadPool& pool_;
  Checkpoint checkpoint_;
  Graph graph_;
  std::optional<TextBundle> text_;
  CalibrationSet calibration_;
  std::string source_hash_;
  OptimiseResult result_;
};

}  // namespace

Result<OptimiseResult> optimise(const std::string& checkpoint_directory, const std::string& har_path,
                                const OptimiseOptions& options, ThreadPool& pool) {
  return Optimiser(options, pool).run(checkpoint_directory, har_path);
}

}  // namespace hotaru
