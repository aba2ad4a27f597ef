#include "cli/logit_models.h"

#include <filesystem>
#include <utility>

#include "base/thread_pool.h"
#include "compiler/float_executor.h"
#include "device/device.h"
#include "eval/device_logits.h"
#include "format/hef.h"
#include "model/adapter.h"
#include "model/checkpoint.h"
#include "text/text_bundle.h"

namespace hotaru::cli {
namespace {

// Everything a float model needs to stay alive for.
struct FloatModel {
  FloatModel(Checkpoint checkpoint_in, Graph graph_in, int threads)
      : checkpoint(std::move(checkpoint_in)),
        graph(std::move(graph_in)),
        parameters(&graph, &checkpoint.tensors),
        pool(threads),
        executor(&graph, &parameters, &pool) {}
  Checkpoint checkpoint;
  Graph graph;
  ParameterSource parameters;
  ThreadPool pool;
  FloatExecutor executor;
};

// What sequences have in common with the last one that is played whole is not played again.
Result<void> batch_logits(FloatModel& model, std::span<const Sequence> sequences, const SequenceSink& sink) {
  SegmentBatch batch;
  std::vector<std::pair<size_t, int64_t>> places;  // of every token: sequence and position
  size_t root = 0;
  for (size_t i = 0; i < sequences.size(); i++) {
    const Sequence& sequence = sequences[i];
    const size_t shared = i > 0 ? shared_tokens(sequences[root], sequence) : 0;
    if (shared == 0) root = i;
    batch.ids.insert(batch.ids.end(), sequence.ids.begin() + static_cast<std::ptrdiff_t>(shared), sequence.ids.end());
    batch.lengths.push_back(std::ssize(sequence.ids) - static_cast<int64_t>(shared));
    batch.shared.push_back(static_cast<int64_t>(shared));
    batch.shown_from.push_back(sequence.first - static_cast<int64_t>(shared));
    for (size_t position = shared; position < sequence.ids.size(); position++) places.emplace_back(i, position);
  }
  TRY(model.executor.begin(std::move(batch)));
  for (int layer = 0; layer < model.graph.shape.layers; layer++) TRY(model.executor.run_layer(layer));
  return model.executor.finish([&](int64_t token, std::span<const float> logits) {
    const auto [sequence, position] = places[static_cast<size_t>(token)];
    sink(sequence, position, logits);
  });
}

Result<void> read_text(const TextBundle& bundle, LogitModel& model) {
  TRY_ASSIGN(model.tokenizer, Tokenizer::create(bundle.tokenizer_json));
  if (model.tokenizer->vocabulary_size() > model.vocabulary) {
    return invalid("the tokenizer does not match the model: got ids up to {}, want below {}",
                   model.tokenizer->vocabulary_size() - 1, model.vocabulary);
  }
  const auto bos = bundle.special_tokens.find("bos_token");
  if (bos != bundle.special_tokens.end()) model.bos_id = model.tokenizer->token_to_id(bos->second);
  return {};
}

// The two sides of --lora.
struct LoraChoice {
  std::string name;
  std::string directory;
};
LoraChoice parse_lora(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals != std::string::npos && text.find('/') > equals) return {text.substr(0, equals), text.substr(equals + 1)};
  const std::filesystem::path path = std::filesystem::path(text).lexically_normal();
  return {(path.has_filename() ? path : path.parent_path()).filename().string(), text};
}

Result<LogitModel> open_float(const std::string& directory, const std::string& lora, const GlobalOptions& options) {
  TRY_ASSIGN(Checkpoint checkpoint, Checkpoint::open(directory));
  TRY_ASSIGN(Graph graph, build_graph(checkpoint));
  std::string adapter_name;
  if (!lora.empty()) {
    TRY_ASSIGN(const PeftAdapter adapter, open_adapter(parse_lora(lora).directory, graph));
    attach(graph, adapter.additions);
    adapter_name = adapter.name;
  }
  const auto held = std::make_shared<FloatModel>(std::move(checkpoint), std::move(graph), options.threads);
  LogitModel model;
  model.name = held->checkpoint.name;
  model.kind = "float";
  model.adapter = adapter_name;
  model.vocabulary = held->graph.shape.vocabulary;
  model.max_tokens = held->graph.shape.max_positions;
  model.source = [held](std::span<const int32_t> ids, const PositionSink& sink) {
    return float_logits(held->executor, held->graph, ids, sink);
  };
  model.batch = [held](std::span<const Sequence> sequences, const SequenceSink& sink) {
    return batch_logits(*held, sequences, sink);
  };
  auto bundle = TextBundle::load(directory);
  if (bundle) {
    TRY(read_text(*bundle, model));
  } else if (bundle.error().kind != ErrorKind::kNotFound) {
    return std::move(bundle).error();
  }
  if (!model.bos_id) model.bos_id = held->checkpoint.generation.bos_id;
  return model;
}

Result<LogitModel> open_hef(const std::string& path, const std::string& lora, const GlobalOptions& options) {
  DeviceOptions device_options;
  TRY_ASSIGN(device_options.isa, parse_isa(options.isa));
  device_options.threads = options.threads;
  TRY_ASSIGN(std::shared_ptr<Device> device, Device::open(path, device_options));
  // The device has just verified the checksums.
  TRY_ASSIGN(const HefFile hef, HefFile::open(path, {.verify_checksums = false}));
  const fb::ModelIdentity* identity = hef.meta().identity();
  LogitModel model;
  int adapter = kNoAdapter;
  if (!lora.empty()) {
    TRY_ASSIGN(adapter, find_adapter(device->info(), parse_lora(lora).name));
    model.adapter = device->info().adapters[static_cast<size_t>(adapter)];
  }
  model.name = identity != nullptr && identity->name() != nullptr ? identity->name()->str() : path;
  model.kind = "hef";
  model.vocabulary = device->info().vocabulary;
  model.max_tokens = device->info().context_tokens;
  model.source = device_logits(device, adapter);
  model.batch = device_batch(std::move(device), adapter);
  const Container& container = hef.container();
  if (const auto tokenizer = container.text(SectionType::kTokenizer)) {
    TRY_ASSIGN(const TextBundle bundle,
               TextBundle::from_json(*tokenizer, container.text(SectionType::kTokenizerConfig).value_or("{}")));
    TRY(read_text(bundle, model));
  }
  const fb::GenerationDefaults* generation = hef.meta().generation();
  if (!model.bos_id && generation != nullptr && generation->bos_id() >= 0) model.bos_id = generation->bos_id();
  return model;
}

}  // namespace

Result<LogitModel> open_logit_model(const std::string& path, const std::string& lora, const GlobalOptions& options) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return make_error(ErrorKind::kNotFound, "{}: no such model", path);
  const bool is_directory = std::filesystem::is_directory(path, ignored);
  auto model = is_directory ? open_float(path, lora, options) : open_hef(path, lora, options);
  if (!model || !model->bos_id || *model->bos_id < model->vocabulary) return model;
  return invalid("{}: got BOS {}, want an id below {}", path, *model->bos_id, model->vocabulary);
}

Json adapter_json(const LogitModel& model) { return model.adapter.empty() ? Json() : Json(model.adapter); }

Result<const Tokenizer*> tokenizer_of(const LogitModel& model) {
  if (model.tokenizer) return &*model.tokenizer;
  return make_error(ErrorKind::kNotFound, "'{}' has no tokenizer: only `eval logits` with --ids works", model.name);
}

}  // namespace hotaru::cli
