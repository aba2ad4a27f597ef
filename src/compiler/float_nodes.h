// Plays nodes of a float graph over one chunk of tokens.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "compiler/float_executor.h"
#include "compiler/float_weights.h"

namespace hotaru {

// cos and sin of every position's angles, [positions, E/2] each; grows as longer segments come.
class RotationTable {
 public:
  void cover(std::span<const double> frequency, size_t positions);
  [[nodiscard]] const float* cosine(size_t position) const { return cosine_.data() + position * half_; }
  [[nodiscard]] const float* sine(size_t position) const { return sine_.data() + position * half_; }

 private:
  size_t half_ = 0;
  std::vector<float> cosine_, sine_;
};

// Whole segments, one after the other.
struct TokenChunk {
  size_t begin = 0;  // first token in the batch
  size_t tokens = 0;
  std::span<const int64_t> lengths;      // of its segments
  std::span<const int64_t> shared = {};  // SegmentBatch::shared of them; empty: 0s
};
// Segments are played together until they make 2048 tokens: short ones would leave threads without work. Those that
// share a beginning stay together.
std::vector<TokenChunk> cut_chunks(std::span<const int64_t> lengths, std::span<const int64_t> shared = {});

// Sees a value as soon as it is made, and may change it: [T, width] of the chunk's tokens.
using ValueHook = std::function<void(ValueId value, std::span<float> rows)>;

struct KnownValue {
  ValueId value = kNone;
  std::span<const float> rows;
};

class NodePlayer {
 public:
  NodePlayer(const Graph* graph, const FloatWeights* weights, ThreadPool* pool);

  // Longest segment to come.
  void cover_positions(size_t positions);
  // Plays the nodes; `input` [tokens, width] is the one value that they take from outside, besides `known`. Returns the
  // last node's output, valid until the next call. The hook, if there is one, is called with every output.
  std::span<const float> play(std::span<const Node> nodes, const TokenChunk& chunk, std::span<const float> input,
                              const ValueHook& hook, const KnownValue& known = {});
  // From now on `key` [T, G * E] comes less `shift` [G * E], before the hook sees it, and so do the prefix tokens' keys
  // beside it: softmax does not see what all keys lack, and does see what only some do. kNone: as they are.
  void shift_keys(ValueId key, std::vector<float> shift);
  // Gives the memory of values back; they are made again when something is played.
  void release();

 private:
  void play_node(const Node& node, const TokenChunk& chunk);
  void play_attention(const Node& node, const TokenChunk& chunk, float* output);
  void turn_key_bias(const Node& node, const TokenChunk& chunk);
  void move_prefix_keys(const Node& node);
  void take_shift_from(std::span<float> keys) const;
  void keep_bias_query(std::span<const Node> nodes, size_t index);
  void play_rows(const Node& node, const TokenChunk& chunk);
  void play_row(const Node& node, size_t row, float* output);
  [[nodiscard]] std::span<const float> row_of(ValueId value, size_t row) const;
  void take_buffer(ValueId value, size_t tokens);
  void give_back_after(std::span<const Node> nodes, size_t index);

  const Graph* graph_;
  const FloatWeights* weights_;
  ThreadPool* pool_;
  std::vector<RotationTable> rotations_;        // by ParameterId of the frequencies
  std::vector<size_t> positions_;               // of the chunk's tokens
  std::vector<std::span<const float>> values_;  // by ValueId; empty: not made
  std::vector<std::vector<float>> buffers_;     // by ValueId, behind values_
  std::vector<std::vector<float>> free_buffers_;
  // Of an attention whose keys lack their bias: queries as no hook has changed them, and the bias at each position.
  std::vector<float> bias_query_;       // [tokens, H * E]
  std::vector<float> bias_key_;         // [tokens, G * E]
  std::vector<float> prefix_bias_key_;  // [P, G * E]
  std::vector<float> prefix_key_;       // [P, G * E]: without bias and shift, where the node's keys lack them
  ValueId shifted_key_ = kNone;
  std::vector<float> key_shift_;  // [G * E]
};

}  // namespace hotaru
