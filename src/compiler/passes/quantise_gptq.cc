#include "base/log.h"
#include "compiler/layer_quantiser.h"
#include "compiler/layer_record.h"
#include "compiler/passes/passes.h"
#include "compiler/resume_folder.h"

namespace hotaru {

Result<void> quantise_gptq(PassContext& context) {
  context.stored.resize(context.graph->parameters.size());
  TRY_ASSIGN(const ResumeFolder finished,
             ResumeFolder::open(context.resume.folder, context.resume.key, context.resume.goes_on));
  TRY_ASSIGN(const std::unique_ptr<TwinStreams> streams, TwinStreams::create(context, context.folder));
  const auto layers = static_cast<int>(context.graph->shape.layers);
  Progress progress("quantise", static_cast<uint64_t>(layers), "layers");
  if (finished.layers_done() > 0) {
    log_info(fmt::format("going on behind layer {} of {}", finished.layers_done() - 1, layers));
    TRY(finished.replay(context, *streams));
  } else {
    TRY(streams->embed(context));
  }
  LayerQuantiser quantiser(&context, streams.get());
  for (int layer = finished.layers_done(); layer < layers; layer++) {
    LayerRecorder recorder(&context, layer);
    TRY(quantiser.run(layer));
    TRY(finished.keep(layer, recorder, *streams));
    progress.advance();
  }
  return quantiser.run_head();
}

}  // namespace hotaru
