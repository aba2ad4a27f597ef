// The calibration tokens on their way through the layers, twice: as the float model has them, and as the device will,
// with everything quantised that lies behind. GPTQ corrects the second towards the first.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/float_nodes.h"
#include "compiler/pass.h"
#include "compiler/residual_store.h"

namespace hotaru {

// One model's side: its weights of the layer in work, and the residual stream.
struct Stream {
  FloatWeights weights;
  NodePlayer player;
  ResidualStore residual;

  Stream(const PassContext& context, ResidualStore store);
  [[nodiscard]] Result<void> read(const TokenChunk& chunk, std::vector<float>& rows) const {
    return residual.read({chunk.begin, chunk.tokens}, rows);
  }
  Result<void> write(const TokenChunk& chunk, std::span<const float> rows) {
    return residual.write({chunk.begin, chunk.tokens}, rows);
  }
};

class TwinStreams {
 public:
  // Room for all calibration tokens; what does not fit memory goes to `folder`.
  static Result<std::unique_ptr<TwinStreams>> create(const PassContext& context, const std::string& folder);
  // Embeds the calibration tokens: exactly, and as the device's int8 table has them.
  Result<void> embed(const PassContext& context);

  Stream exact;
  Stream device;
  std::vector<TokenChunk> chunks;

 private:
  TwinStreams(const PassContext& context, ResidualStore exact_store, ResidualStore device_store);
};

// What the device makes of values: rounded to the value's static range and back, in the device's arithmetic. Values
// without a range stay.
void round_to_range(const Value& value, std::span<float> rows);

}  // namespace hotaru
