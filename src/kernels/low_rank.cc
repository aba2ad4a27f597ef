#include "kernels/low_rank.h"

#include <algorithm>

#include "kernels/linear_int4/linear_int4.h"
#include "tensor/numerics.h"

namespace hotaru {
namespace {

constexpr size_t kAlignment = 64;
// Outputs of one piece: 128 tokens of them stay in a second-level cache.
constexpr size_t kPieceOutputs = 256;

constexpr size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// How one thread's workspace is divided.
struct Workspace {
  Workspace(int tokens_in, int inputs, int rank) {
    const auto tokens = static_cast<size_t>(tokens_in);
    linear = 0;
    hidden = aligned(linear_workspace_bytes(tokens_in, std::max(inputs, padded_rank(rank))));
    hidden_low = hidden + aligned(tokens * static_cast<size_t>(rank) * sizeof(float));
    codes = hidden_low + aligned(tokens * static_cast<size_t>(rank) * sizeof(float));
    piece = codes + aligned(tokens * static_cast<size_t>(padded_rank(rank)));
    bytes = piece + aligned(tokens * kPieceOutputs * sizeof(float));
  }
  size_t linear, hidden, hidden_low, codes, piece, bytes;  // offsets, and the end
};

// h, in `hidden` [T, R].
void down_product(const LowRankArgs& args, const Workspace& places, LinearInt8Kernel linear, float* hidden) {
  LinearInt8Args product;
  product.tokens = args.tokens;
  product.inputs = args.inputs;
  product.outputs = args.rank;
  product.input = args.high != nullptr ? args.high : args.input;
  product.weight = args.down;
  product.offset = args.high != nullptr ? args.high_offset : args.down_offset;
  product.scale = args.high != nullptr ? args.high_scale : args.down_scale;
  product.output = hidden;
  product.workspace = args.workspace + places.linear;
  linear(product, Slice{});
  if (args.high == nullptr) return;
  auto* low = reinterpret_cast<float*>(args.workspace + places.hidden_low);
  product.input = args.input;
  product.offset = args.down_offset;
  product.scale = args.down_scale;
  product.output = low;
  linear(product, Slice{});
  const size_t count = static_cast<size_t>(args.tokens) * static_cast<size_t>(args.rank);
  for (size_t i = 0; i < count; i++) hidden[i] = hidden[i] + low[i];
}

// u, in `codes` [T, padded R].
void requantise(const LowRankArgs& args, const float* hidden, uint8_t* codes) {
  const auto rank = static_cast<size_t>(args.rank);
  const auto padded = static_cast<size_t>(padded_rank(args.rank));
  for (size_t t = 0; t < static_cast<size_t>(args.tokens); t++) {
    uint8_t* row = codes + t * padded;
    for (size_t r = 0; r < rank; r++) {
      row[r] = requantise_u8(hidden[t * rank + r], args.inverse_scale, args.zero_point);
    }
    std::fill(row + rank, row + padded, uint8_t{0});  // its weights are zero
  }
}

// Columns [begin, end) of y += d.
void add_piece(const LowRankArgs& args, const float* piece, size_t begin, size_t end) {
  const size_t count = end - begin;
  for (size_t t = 0; t < static_cast<size_t>(args.tokens); t++) {
    const float* d = piece + t * count;
    float* y = args.output + t * static_cast<size_t>(args.stride) + begin;
    if (args.bias == nullptr) {
      for (size_t n = 0; n < count; n++) y[n] = y[n] + d[n];
    } else {
      for (size_t n = 0; n < count; n++) y[n] = y[n] + (d[n] + args.bias[begin + n]);
    }
  }
}

}  // namespace

size_t low_rank_workspace_bytes(int tokens, int inputs, int rank) { return Workspace(tokens, inputs, rank).bytes; }

void play_low_rank(const LowRankArgs& args, LinearInt8Kernel linear, Slice slice) {
  const auto outputs = static_cast<size_t>(args.outputs);
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  if (blocks.begin == blocks.end) return;
  const Workspace places(args.tokens, args.inputs, args.rank);
  auto* hidden = reinterpret_cast<float*>(args.workspace + places.hidden);
  auto* codes = reinterpret_cast<uint8_t*>(args.workspace + places.codes);
  auto* piece = reinterpret_cast<float*>(args.workspace + places.piece);
  down_product(args, places, linear, hidden);
  requantise(args, hidden, codes);
  const size_t last = std::min(outputs, blocks.end * kRowsPerBlock);
  for (size_t begin = blocks.begin * kRowsPerBlock; begin < last; begin += kPieceOutputs) {
    const size_t end = std::min(last, begin + kPieceOutputs);
    LinearInt8Args product;
    product.tokens = args.tokens;
    product.inputs = padded_rank(args.rank);
    product.outputs = static_cast<int>(end - begin);
    product.input = codes;
    product.weight = args.up + begin * static_cast<size_t>(product.inputs);  // packed blocks of 16 rows
    product.offset = args.up_offset + begin;
    product.scale = args.up_scale + begin;
    product.output = piece;
    product.workspace = args.workspace + places.linear;
    linear(product, Slice{});
    add_piece(args, piece, begin, end);
  }
}

}  // namespace hotaru
