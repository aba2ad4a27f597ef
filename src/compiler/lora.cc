#include "compiler/lora.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <optional>

#include "compiler/dequantise.h"
#include "compiler/har_model.h"
#include "compiler/lora_quantise.h"
#include "compiler/lora_transport.h"
#include "compiler/source_hash.h"
#include "compiler/tensor_section.h"
#include "format/container_writer.h"
#include "format/har.h"
#include "format/meta_check.h"
#include "model/adapter.h"
#include "model/checkpoint.h"
#include "text/text_bundle.h"

namespace hotaru {
namespace {

constexpr size_t kLongestName = 64;

// Names go into model names (NAME:ADAPTER), options (NAME=DIR) and file names.
Result<void> check_name(std::string_view name) {
  const bool good = !name.empty() && name.size() <= kLongestName && name[0] != '.' && name[0] != '-' &&
                    std::ranges::all_of(name, [](char c) {
                      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '_' || c == '-';
                    });
  if (good) return {};
  return invalid("--name: got '{}', want letters, digits, '.', '_' and '-', at most {}", name.substr(0, kLongestName),
                 kLongestName);
}

Result<std::vector<double>> input_shift_of(const OptimisedModel& model, const Graph& twin, const Node& node) {
  if (node.input_shift == kNone) return std::vector<double>();
  const Parameter& shift = twin.parameters[static_cast<size_t>(node.input_shift)];
  if (!shift.values.empty()) return shift.values;
  return invalid("'{}': its input shift is not stored in the HAR of '{}'", node.name, model.graph.name);
}

// The base model that the author names is here, and it is another one than the HAR's.
Result<void> check_base(const PeftAdapter& adapter, const OptimisedModel& model, AddedAdapter& report) {
  std::error_code ignored;
  if (adapter.base_model.empty()) return {};
  if (std::filesystem::exists(std::filesystem::path(adapter.base_model) / "config.json", ignored)) {
    TRY_ASSIGN(const Checkpoint base, Checkpoint::open(adapter.base_model));
    TRY_ASSIGN(const std::string hash, source_hash(base));
    if (model.identity.source_hash.empty() || hash == model.identity.source_hash) return {};
    return invalid("adapter '{}' was trained on '{}' with the hash {}; this HAR was made from {}", adapter.name,
                   adapter.base_model, hash.substr(0, 16), model.identity.source_hash.substr(0, 16));
  }
  const std::string name = std::filesystem::path(adapter.base_model).lexically_normal().filename().string();
  if (name == model.identity.name) return {};
  report.warnings.push_back(fmt::format("adapter '{}' says that it was trained on '{}'; this HAR is '{}'", adapter.name,
                                        adapter.base_model, model.identity.name));
  return {};
}

Result<CalibrationSet> load_text_of(const HarFile& har, const OptimisedModel& model,
                                    const CalibrationOptions& options) {
  const CalibrationLimits limits{model.graph.shape.max_positions, model.graph.shape.vocabulary};
  const auto tokenizer = har.container().text(SectionType::kTokenizer);
  if (!tokenizer) return load_calibration(options, limits, nullptr);
  TRY_ASSIGN(const TextBundle text,
             TextBundle::from_json(*tokenizer, har.container().text(SectionType::kTokenizerConfig).value_or("{}")));
  return load_calibration(options, limits, &text);
}

// Writes one addition's tensors into the open section.
Result<std::unique_ptr<fb::AdapterSiteT>> write_site(const QuantisedAddition& addition, ContainerWriter& writer) {
  TensorSection section(&writer);
  const auto bytes_of = [](const auto& values) { return std::as_bytes(std::span(values)); };
  const uint64_t rank = addition.rank;
  const uint64_t outputs = addition.outputs;
  const uint64_t columns = addition.up.packed.size() / padded_row_count(outputs);
  const std::string& name = addition.node;
  TRY(section.add({name + ".down", fb::Layout::PackedInt8, {rank, addition.inputs}}, bytes_of(addition.down.packed)));
  TRY(section.add({name + ".down_scale", fb::Layout::F32, {rank}}, bytes_of(addition.down.row_scale)));
  TRY(section.add({name + ".up", fb::Layout::PackedInt8, {outputs, columns}}, bytes_of(addition.up.packed)));
  TRY(section.add({name + ".up_scale", fb::Layout::F32, {outputs}}, bytes_of(addition.up.row_scale)));
  if (!addition.bias.empty()) {
    TRY(section.add({name + ".bias", fb::Layout::F32, {outputs}}, bytes_of(addition.bias)));
  }
  auto tensors = section.take();
  auto site = std::make_unique<fb::AdapterSiteT>();
  site->site = name;
  site->output_count = static_cast<uint32_t>(outputs);
  site->rank = static_cast<uint32_t>(rank);
  site->down = std::move(tensors[0]);
  site->down_scale = std::move(tensors[1]);
  site->up = std::move(tensors[2]);
  site->up_scale = std::move(tensors[3]);
  if (!addition.bias.empty()) site->bias = std::move(tensors[4]);
  site->hidden_inverse_scale = 1.0F / addition.hidden.scale;
  site->hidden_zero_point = static_cast<float>(addition.hidden.zero_point);
  return site;
}

// A HAR being written again: what is not an adapter keeps its bytes and its place, then come adapters, then the meta.
class HarCopy {
 public:
  static Result<HarCopy> create(const HarFile& har, const std::string& path) {
    TRY_ASSIGN(ContainerWriter writer, ContainerWriter::create(path, FileKind::kHar));
    HarCopy copy(har, std::move(writer));
    for (const Section& section : har.container().sections()) {
      if (section.type == SectionType::kMeta || section.type == SectionType::kAdapter) continue;
      TRY(copy.writer_.add_section(section.type, section.index, copy.bytes_of(section.type, section.index)));
    }
    return copy;
  }

  Result<void> keep(std::unique_ptr<fb::AdapterT> adapter) {
    const auto bytes = bytes_of(SectionType::kAdapter, adapter->section);
    adapter->section = static_cast<uint32_t>(adapters_.size());
    TRY(writer_.add_section(SectionType::kAdapter, adapter->section, bytes));
    adapters_.push_back(std::move(adapter));
    return {};
  }

  // Returns the adapter's bytes.
  Result<uint64_t> add(std::unique_ptr<fb::AdapterT> adapter, const std::vector<QuantisedAddition>& additions) {
    adapter->section = static_cast<uint32_t>(adapters_.size());
    TRY(writer_.begin_section(SectionType::kAdapter, adapter->section));
    for (const QuantisedAddition& addition : additions) {
      TRY_ASSIGN(auto site, write_site(addition, writer_));
      adapter->sites.push_back(std::move(site));
    }
    const uint64_t bytes = writer_.section_position();
    adapter->bytes = bytes;
    adapters_.push_back(std::move(adapter));
    TRY(writer_.end_section());
    return bytes;
  }

  Result<void> finish() {
    const std::unique_ptr<fb::HarT> meta(har_->meta().UnPack());
    meta->adapters = std::move(adapters_);
    TRY(writer_.add_section(SectionType::kMeta, 0, pack_meta(*meta)));
    return writer_.finish();
  }

 private:
  HarCopy(const HarFile& har, ContainerWriter writer) : har_(&har), writer_(std::move(writer)) {}
  [[nodiscard]] std::span<const std::byte> bytes_of(SectionType type, uint32_t index) const {
    return *har_->container().section(type, index);  // the reader found it
  }
  const HarFile* har_;
  ContainerWriter writer_;
  std::vector<std::unique_ptr<fb::AdapterT>> adapters_;
};

std::vector<std::unique_ptr<fb::AdapterT>> adapters_of(const HarFile& har) {
  const std::unique_ptr<fb::HarT> meta(har.meta().UnPack());
  return std::move(meta->adapters);
}

// The adapter's matrices, as the HAR's linears want them.
Result<std::vector<LowRank>> moved_additions(const PeftAdapter& adapter, const OptimisedModel& model,
                                             const Graph& twin) {
  std::vector<LowRank> moved;
  for (const LowRank& addition : adapter.additions) {
    const Node& node = *find_linear(model.graph, addition.node);
    TRY_ASSIGN(const auto shift, input_shift_of(model, twin, node));
    TRY_ASSIGN(LowRank in_basis, transport(model.graph, addition, shift));
    moved.push_back(std::move(in_basis));
  }
  return moved;
}

}  // namespace

Result<AddedAdapter> add_adapter(const AdapterPaths& paths, const AddAdapterOptions& options, ThreadPool& pool) {
  TRY_ASSIGN(const HarFile har, HarFile::open(paths.har, {&pool}));
  TRY_ASSIGN(const OptimisedModel model, load_model(har));
  TRY_ASSIGN(const PeftAdapter adapter, open_adapter(paths.directory, model.graph));
  AddedAdapter report;
  report.name = options.name.empty() ? adapter.name : options.name;
  TRY(check_name(report.name));
  auto present = adapters_of(har);
  for (const auto& other : present) {
    if (other->name != report.name) continue;
    return invalid("{}: there is an adapter '{}' already; remove it or choose another --name", paths.har, report.name);
  }
  TRY(check_base(adapter, model, report));
  FloatTwin twin{{}, stored_rows(model)};
  TRY_ASSIGN(twin.graph, streamed_graph(model));
  std::vector<LowRank> additions = adapter.additions;
  if (options.transports) {
    TRY_ASSIGN(additions, moved_additions(adapter, model, twin.graph));
  }
  TRY_ASSIGN(const CalibrationSet calibration, load_text_of(har, model, options.calibration));
  TRY_ASSIGN(const auto quantised, quantise_additions(twin, std::move(additions),
                                                      without_prefix(calibration.batch, twin.graph.prefix), pool));

  auto table = std::make_unique<fb::AdapterT>();
  table->name = report.name;
  table->rank = static_cast<uint32_t>(adapter.rank);
  table->alpha = static_cast<float>(adapter.alpha);
  table->targets = adapter.targets;
  table->source_hash = adapter.source_hash;
  TRY_ASSIGN(HarCopy copy, HarCopy::create(har, paths.output));
  for (auto& other : present) TRY(copy.keep(std::move(other)));
  TRY_ASSIGN(report.bytes, copy.add(std::move(table), quantised));
  TRY(copy.finish());
  report.rank = adapter.rank;
  report.targets = adapter.targets;
  report.linears = quantised.size();
  report.lowest_sqnr_db = std::ranges::min(quantised, {}, &QuantisedAddition::sqnr_db).sqnr_db;
  report.calibration = calibration.description;
  report.warnings.insert(report.warnings.end(), calibration.warnings.begin(), calibration.warnings.end());
  return report;
}

Result<void> remove_adapter(const std::string& har_path, const std::string& name, const std::string& output,
                            ThreadPool& pool) {
  TRY_ASSIGN(const HarFile har, HarFile::open(har_path, {&pool}));
  auto present = adapters_of(har);
  const auto is_named = [&name](const auto& adapter) { return adapter->name == name; };
  if (std::ranges::none_of(present, is_named)) {
    std::string names;
    for (const auto& adapter : present) names += (names.empty() ? "" : ", ") + adapter->name;
    return make_error(ErrorKind::kNotFound, "{}: there is no adapter '{}'; there are: {}", har_path, name,
                      names.empty() ? "none" : names);
  }
  TRY_ASSIGN(HarCopy copy, HarCopy::create(har, output));
  for (auto& adapter : present) {
    if (!is_named(adapter)) TRY(copy.keep(std::move(adapter)));
  }
  return copy.finish();
}

}  // namespace hotaru
