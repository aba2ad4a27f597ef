// The calibration tokens on their way through the layers, twice: as the float model has them, and as the device will,
// with everything quantised that lies behind. GPTQ corrects the second towards the first.
#pragma once

#include <memory>
#include <optional>
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
  // A value of the layer in work, kept where it was made: the nodes before it cost too much to be played again.
  struct Kept {
    ValueId value = kNone;
    ResidualStore rows;
    std::vector<bool> is_there;  // by first token of a chunk
  };
  std::optional<Kept> kept;

  Stream(const PassContext& context, ResidualStore store);
  [[nodiscard]] Result<void> read(const TokenChunk& chunk, std::vector<float>& rows) const {
    return residual.read({chunk.begin, chunk.tokens}, rows);
  }
  Result<void> write(const TokenChunk& chunk, std::span<const float> rows) {
    return residual.write({chunk.begin, chunk.tokens}, rows);
  }
  // Room for a value; what was kept before is gone.
  Result<void> keep(ValueId value, size_t width, const std::string& folder);
  // Plays nodes of the layer as the player does, from the kept value on where that is there; keeps it where it comes
  // by. The hook sees the kept value too, every time.
  Result<std::span<const float>> play(std::span<const Node> nodes, const TokenChunk& chunk,
                                      std::span<const float> input, const ValueHook& hook);
  // Gives back memory that the next play() takes again.
  void release();

 private:
  std::vector<float> kept_rows_;  // of the chunk in work
};

class TwinStreams {
 public:
  // Room for the calibration tokens that are used (kMostTokens); what does not fit memory goes to `folder`.
  static Result<std::unique_ptr<TwinStreams>> create(const PassContext& context, const std::string& folder);
  // Embeds the calibration tokens: exactly, and as the device's int8 table has them.
  Result<void> embed(const PassContext& context);

  Stream exact;
  Stream device;
  std::vector<TokenChunk> chunks;
  SegmentBatch batch;  // what of the calibration text is used

 private:
  TwinStreams(const PassContext& context, SegmentBatch used, ResidualStore exact_store, ResidualStore device_store);
};

// What the device makes of values: rounded to the value's static range and back, in the device's arithmetic. Values
// without a range stay.
void round_to_range(const Value& value, std::span<float> rows);

bool all_finite(std::span<const float> values);

}  // namespace hotaru
