// Quantises one transformer layer after another, in the order in which the device plays them: every matrix is fitted to
// inputs that come out of what is already quantised (true-sequential GPTQ), every range is measured there.
#pragma once

#include <vector>

#include "base/log.h"
#include "compiler/block.h"
#include "compiler/gptq.h"
#include "compiler/histogram.h"
#include "compiler/key_form.h"
#include "compiler/moment_sum.h"
#include "compiler/pass.h"
#include "compiler/twin_streams.h"

namespace hotaru {

class LayerQuantiser {
 public:
  // `progress` counts thousands of weights.
  LayerQuantiser(PassContext* context, TwinStreams* streams, Progress* progress)
      : context_(context), streams_(streams), progress_(progress) {}

  // Chooses the layer's ranges, stores its matrices and vectors, and takes both streams through it.
  Result<void> run(int layer);
  // Ranges of what stands behind the last layer: the head's input.
  Result<void> run_head();

 private:
  // Half a layer: nodes from a norm to the sum with the residual stream.
  struct Half {
    std::span<const Node> nodes;
    int layer;
  };

  Result<void> quantise_attention(const Half& half, const Block& block);
  Result<void> quantise_ffn(const Half& half, const Block& block);
  Result<void> choose_ranges(const Half& half, const std::vector<ValueId>& values);
  [[nodiscard]] std::vector<uint32_t> channel_weights(const Half& half, ValueId value) const;
  // Of 8 bits.
  [[nodiscard]] RangeChoice first_choice(const Histogram& histogram, bool is_symmetric) const;
  void settle_range(ValueId id, const Histogram& histogram, int layer);
  // Keys (layer_keys.cc).
  struct WholeKeys {
    const KeyStatistics* keys;  // with their bias
    double divergence;
  };
  Result<KeyStatistics> observe_keys(const Half& half, ValueId query);
  Result<void> choose_key_form(const Half& half, const Block& block);
  [[nodiscard]] std::vector<float> worthwhile_shift(const KeyStatistics& keys) const;
  void shift_keys(const Block& block, const KeyStatistics& keys, const std::vector<float>& shift);
  Result<bool> split_keys(const Half& half, const Block& block, const WholeKeys& whole);
  Result<void> measure_key_bias(const Half& half, const Block& block);
  void note(std::string text);
  void warn(std::string text);
  [[nodiscard]] bool is_linear_input(ValueId id) const;
  Result<void> quantise_linears(const Half& half, const std::vector<const Node*>& linears);
  // Of the tokens that the fit sees, and of those that tell how well it did.
  struct Moments {
    MomentSum fit;
    MomentSum held_out;
    bool are_of_outputs;  // their errors; otherwise of inputs
  };
  Result<void> sum_moments(const Half& half, const Node& linear, Moments& moments);
  Result<void> quantise_linear(const Node& linear, const Moments& moments);
  Result<void> keep(ValueId value);
  Result<void> advance(const Half& half);
  Result<std::span<const float>> play_device(const Half& half, size_t count, const TokenChunk& chunk,
                                             const ValueHook& observer);
  // Every so many chunks one is enough for ranges.
  [[nodiscard]] size_t nodes_until(const Half& half, ValueId value) const;
  [[nodiscard]] Half half_of(const Node& first, const Node& last, int layer) const;
  Node& editable(const Node& node) {
    return context_->graph->nodes[static_cast<size_t>(&node - context_->graph->nodes.data())];
  }
  Value& value(ValueId id) { return context_->graph->values[static_cast<size_t>(id)]; }

  PassContext* context_;
  TwinStreams* streams_;
  Progress* progress_;
  std::vector<float> exact_rows_, input_rows_;  // residual streams of the chunk in work: exact, and the device's
  ValueId key_ = kNone;                         // of the layer
};

}  // namespace hotaru
