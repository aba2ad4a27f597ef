#include "compiler/layer_record.h"

#include <xxhash.h>

#include <cstring>

#include "base/file.h"
#include "base/json.h"

namespace hotaru {
namespace {

template <typename T>
std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}

Json ranges_json(const Value& value) {
  Json ranges = Json::array();
  for (const StaticRange& range : value.ranges) ranges.push_back({range.scale, range.zero_point});
  return ranges;
}

Json stored_json(const StoredParameter& stored) {
  return {stored.packed, stored.row_scale, stored.row_sum, stored.values};
}

StoredParameter stored_of(const Json& json) { return {json.at(0), json.at(1), json.at(2), json.at(3)}; }

Json node_json(const Node& node) { return {node.bias, node.key_shift, node.key_bias, node.key_bias_reach}; }

void set_node(const Json& json, Node& node) {
  node.bias = json.at(0);
  node.key_shift = json.at(1);
  node.key_bias = json.at(2);
  node.key_bias_reach = json.at(3);
}

Json parameter_json(const Parameter& parameter) {
  return {{"name", parameter.name}, {"columns", parameter.columns}, {"values", parameter.values}};
}

Parameter parameter_of(const Json& json) {
  Parameter parameter;
  parameter.name = json.at("name");
  parameter.columns = json.at("columns");
  parameter.values = json.at("values").get<std::vector<double>>();
  return parameter;
}

Json report_json(const MatrixReport& matrix) {
  Json json = {matrix.name, matrix.layer, matrix.method, matrix.rows, matrix.inputs, matrix.sqnr_db, matrix.seconds};
  if (matrix.gptq) {
    const GptqReport& gptq = *matrix.gptq;
    json.push_back({gptq.rtn_error, gptq.plain_error, gptq.error, gptq.damping, gptq.beta, gptq.dead_columns});
  }
  return json;
}

MatrixReport matrix_report_of(const Json& json) {
  MatrixReport report{json.at(0), json.at(1), json.at(2), json.at(3), json.at(4), json.at(5), json.at(6)};
  if (json.size() > 7) {
    const Json& gptq = json.at(7);
    report.gptq = GptqReport{gptq.at(0), gptq.at(1), gptq.at(2), gptq.at(3), gptq.at(4), gptq.at(5)};
  }
  return report;
}

Json report_json(const RangeReport& range) {
  return {range.value,   range.layer, range.lowest,      range.highest,
          range.low,     range.high,  range.range.scale, range.range.zero_point,
          range.sqnr_db, range.bits,  range.reason};
}

RangeReport range_report_of(const Json& json) {
  return {json.at(0), json.at(1), json.at(2), json.at(3), json.at(4), json.at(5), {json.at(6), json.at(7)},
          json.at(8), json.at(9), json.at(10)};
}

Result<void> replay_graph(const Json& json, int layer, PassContext& context) {
  Graph& graph = *context.graph;
  for (const Json& parameter : json.at("parameters")) graph.add_parameter(parameter_of(parameter));
  context.stored.resize(graph.parameters.size());
  const Graph::Range range = graph.layer_nodes(layer);
  const size_t nodes = json.at("nodes").size();
  if (nodes != range.end - range.begin) return invalid("got {} nodes, want {}", nodes, range.end - range.begin);
  for (size_t i = range.begin; i < range.end; i++) {
    Node& node = graph.nodes[i];
    const Json& saved = json.at("nodes").at(i - range.begin);
    set_node(saved.at("parameters"), node);
    Value& value = graph.values[static_cast<size_t>(node.output)];
    value.bits = saved.at("bits");
    value.is_symmetric = saved.at("symmetric");
    value.ranges.clear();
    for (const Json& one : saved.at("ranges")) value.ranges.push_back({one.at(0), one.at(1)});
  }
  for (const Json& stored : json.at("stored")) {
    const auto id = stored.at(0).get<size_t>();
    if (id >= context.stored.size()) return invalid("got parameter {}, want [0, {})", id, context.stored.size());
    context.stored[id] = stored_of(stored.at(1));
  }
  for (const Json& matrix : json.at("matrices")) context.report->matrices.push_back(matrix_report_of(matrix));
  for (const Json& one : json.at("ranges")) context.report->ranges.push_back(range_report_of(one));
  for (const Json& note : json.at("notes")) context.report->notes.push_back(note);
  return {};
}

Result<void> replay_tensors(const Json& tensors, std::span<const std::byte> data, PassContext& context) {
  for (const Json& tensor : tensors) {
    const auto bytes = tensor.at("bytes").get<uint64_t>();
    if (bytes > data.size()) return invalid("it is shorter than its tensors");
    const TensorHeader header{tensor.at("name"), static_cast<fb::Layout>(tensor.at("layout").get<int>()),
                              tensor.at("shape")};
    TRY(context.tensors->add(header, data.first(bytes)));
    data = data.subspan(bytes);
  }
  return {};
}

// The JSON and the tensors' bytes of a file whose checksum is right.
struct Sections {
  std::string_view json;
  std::span<const std::byte> data;
};
Result<Sections> open_sections(std::span<const std::byte> bytes) {
  uint64_t length = 0;
  uint64_t checksum = 0;
  if (bytes.size() < 2 * sizeof(uint64_t)) return invalid("got {} bytes, want at least 16", bytes.size());
  const auto content = bytes.first(bytes.size() - sizeof(checksum));
  std::memcpy(&length, bytes.data(), sizeof(length));
  std::memcpy(&checksum, content.data() + content.size(), sizeof(checksum));
  if (checksum != XXH3_64bits(content.data(), content.size())) return invalid("its checksum is wrong");
  if (length > content.size() - sizeof(length)) return invalid("its JSON is longer than the file");
  return Sections{{reinterpret_cast<const char*>(bytes.data()) + sizeof(length), length},
                  content.subspan(sizeof(length) + length)};
}

Result<void> replay_sections(const Json& json, std::span<const std::byte> data, int layer, PassContext& context) {
  try {
    TRY(replay_graph(json, layer, context));
    return replay_tensors(json.at("tensors"), data, context);
  } catch (const Json::exception& error) {
    return invalid("{}", error.what());
  }
}

}  // namespace

LayerRecorder::LayerRecorder(PassContext* context, int layer)
    : context_(context),
      layer_(layer),
      parameters_(context->graph->parameters.size()),
      matrices_(context->report->matrices.size()),
      ranges_(context->report->ranges.size()),
      notes_(context->report->notes.size()) {
  context->tensors->set_listener([this](const TensorHeader& header, std::span<const std::byte> bytes) {
    tensors_.push_back({header, bytes.size()});
    data_.insert(data_.end(), bytes.begin(), bytes.end());
  });
}

LayerRecorder::~LayerRecorder() { context_->tensors->set_listener({}); }

Result<void> LayerRecorder::write(const std::string& path) {
  const Graph& graph = *context_->graph;
  Json json = {{"parameters", Json::array()}, {"nodes", Json::array()},  {"stored", Json::array()},
               {"matrices", Json::array()},   {"ranges", Json::array()}, {"notes", Json::array()},
               {"tensors", Json::array()}};
  for (size_t i = parameters_; i < graph.parameters.size(); i++) {
    json["parameters"].push_back(parameter_json(graph.parameters[i]));
  }
  const Graph::Range range = graph.layer_nodes(layer_);
  for (size_t i = range.begin; i < range.end; i++) {
    const Node& node = graph.nodes[i];
    const Value& value = graph.values[static_cast<size_t>(node.output)];
    json["nodes"].push_back({{"parameters", node_json(node)},
                             {"bits", value.bits},
                             {"symmetric", value.is_symmetric},
                             {"ranges", ranges_json(value)}});
    for (const ParameterId id : parameters_of(node)) {
      if (id == kNone) continue;
      json["stored"].push_back({id, stored_json(context_->stored[static_cast<size_t>(id)])});
    }
  }
  const OptimiseReport& report = *context_->report;
  for (size_t i = matrices_; i < report.matrices.size(); i++)
    json["matrices"].push_back(report_json(report.matrices[i]));
  for (size_t i = ranges_; i < report.ranges.size(); i++) json["ranges"].push_back(report_json(report.ranges[i]));
  for (size_t i = notes_; i < report.notes.size(); i++) json["notes"].push_back(report.notes[i]);
  for (const Tensor& tensor : tensors_) {
    json["tensors"].push_back({{"name", tensor.header.name},
                               {"layout", static_cast<int>(tensor.header.layout)},
                               {"shape", tensor.header.shape},
                               {"bytes", tensor.bytes}});
  }
  const std::string text = json.dump();
  std::vector<std::byte> content;
  const auto append = [&content](std::span<const std::byte> part) {
    content.insert(content.end(), part.begin(), part.end());
  };
  append(bytes_of(static_cast<uint64_t>(text.size())));
  append(std::as_bytes(std::span(text)));
  append(data_);
  append(bytes_of(static_cast<uint64_t>(XXH3_64bits(content.data(), content.size()))));
  TRY_ASSIGN(OutputFile file, OutputFile::create(path));
  TRY(file.write(content));
  return file.commit();
}

Result<void> replay_layer(const std::string& path, int layer, PassContext& context) {
  TRY_ASSIGN(const MappedFile file, MappedFile::open(path));
  auto sections = open_sections(file.bytes());
  if (!sections) return at(path, std::move(sections).error());
  TRY_ASSIGN(const Json json, parse_json(sections->json, path));
  auto replayed = replay_sections(json, sections->data, layer, context);
  if (!replayed) return at(path, std::move(replayed).error());
  return {};
}

}  // namespace hotaru
