#include "base/log.h"
#include "compiler/layer_quantiser.h"
#include "compiler/layer_record.h"
#include "compiler/passes/passes.h"
#include "compiler/resume_folder.h"

namespace hotaru {
namespace {

// Of the layer's linears, as the quantiser counts them.
uint64_t thousand_weights(const Graph& graph, int layer) {
  uint64_t weights = 0;
  for (const Node& node : graph.nodes) {
    if (node.layer != layer || node.kind != NodeKind::kLinear) continue;
    const Parameter& weight = graph.parameters[static_cast<size_t>(node.weight)];
    weights += static_cast<uint64_t>(weight.rows * weight.columns) / 1000;
  }
  return weights;
}

void note(const PassContext& context, std::string text) {
  log_info(text);
  context.report->notes.push_back(std::move(text));
}

}  // namespace

Result<void> quantise_gptq(PassContext& context) {
  context.stored.resize(context.graph->parameters.size());
  TRY_ASSIGN(const ResumeFolder finished,
             ResumeFolder::open(context.resume.folder, context.resume.key, context.resume.goes_on));
  TRY_ASSIGN(const std::unique_ptr<TwinStreams> streams, TwinStreams::create(context, context.folder));
  const auto layers = static_cast<int>(context.graph->shape.layers);
  uint64_t weights = 0;
  for (int layer = finished.layers_done(); layer < layers; layer++) weights += thousand_weights(*context.graph, layer);
  Progress progress("quantise", weights, "thousand weights");
  if (streams->batch.ids.size() < context.calibration->batch.ids.size()) {
    note(context,
         fmt::format("matrices are fitted and ranges measured on {} of the {} calibration tokens: more change little",
                     streams->batch.ids.size(), context.calibration->batch.ids.size()));
  }
  if (finished.layers_done() > 0) {
    log_info(fmt::format("going on behind layer {} of {}", finished.layers_done() - 1, layers));
    TRY(finished.replay(context, *streams));
  } else {
    TRY(streams->embed(context));
  }
  LayerQuantiser quantiser(&context, streams.get(), &progress);
  for (int layer = finished.layers_done(); layer < layers; layer++) {
    LayerRecorder recorder(&context, layer);
    TRY(quantiser.run(layer));
    TRY(finished.keep(layer, recorder, *streams));
  }
  progress.finish();
  return quantiser.run_head();
}

}  // namespace hotaru
