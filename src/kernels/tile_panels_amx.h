// What linear_tiles_amx.h multiplies, and in which order: panels of weights, tiles of tokens, where they lie in a
// thread's workspace, and what is asked for ahead.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/slice.h"
#include "kernels/linear_int4/linear_int4.h"
#include "kernels/packed.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {
namespace {  // each kernel's own: NUMERICS on weak symbols

constexpr size_t kFewestTokens = 9;  // of fewer, vectors multiply all at once and stream weights faster
constexpr size_t kPairBlocks = 2;
constexpr size_t kPanelInputs = 768;
constexpr size_t kPanelBytes = kPairBlocks * kPanelInputs * kRowsPerBlock;
constexpr size_t kMaxBlockTokens = 512;
constexpr size_t kStoredTokens = 4;
constexpr size_t kResultBytes = size_t{24} << 10;
constexpr size_t kSecondSums = 2 * kTileTokens * kRowsPerBlock;
constexpr size_t kPassSums = kPairBlocks * kSecondSums;

inline size_t smaller_of(size_t a, size_t b) { return a < b ? a : b; }

// Two blocks of 16 rows that are multiplied together, or one: then they are the same.
struct BlockPair {
  size_t first, second;
};

struct TilePanel {
  BlockPair blocks;
  size_t first_input;
  size_t inputs;  // a multiple of 32
};

// All panels of a thread's blocks in the order they are used. Block b goes with block b + partner; with partner 0,
// blocks go with the next one. Of each pair of blocks all chunks of inputs; or, so that more tokens pass by a panel
// than a second-level cache takes with all their inputs, all pairs of a chunk before the next chunk: then sums of all
// pairs wait.
struct TilePanels {
  Slice::Range blocks;
  size_t inputs, partner;
  size_t chunks, chunk_inputs;
  bool chunk_by_chunk;
  size_t block_tokens;  // that pass by; then all panels come once more
};

inline size_t tile_steps(size_t inputs) { return (inputs + kTileInputs - 1) / kTileInputs; }

[[gnu::always_inline]] inline size_t pair_count(const TilePanels& panels) {
  const size_t blocks = panels.blocks.end - panels.blocks.begin;
  return panels.partner != 0 ? blocks : (blocks + 1) / 2;
}

[[gnu::always_inline]] inline size_t panel_count(const TilePanels& panels) {
  return pair_count(panels) * panels.chunks;
}

[[gnu::always_inline]] inline size_t pair_at(const TilePanels& panels, size_t index) {
  return panels.chunk_by_chunk ? index % pair_count(panels) : index / panels.chunks;
}

[[gnu::always_inline]] inline TilePanel panel_at(const TilePanels& panels, size_t index) {
  const size_t pair = pair_at(panels, index);
  const size_t chunk = panels.chunk_by_chunk ? index / pair_count(panels) : index % panels.chunks;
  const size_t input = chunk * panels.chunk_inputs;
  const size_t inputs = smaller_of(panels.chunk_inputs, panels.inputs - input);
  if (panels.partner != 0) {
    const size_t block = panels.blocks.begin + pair;
    return {{block, block + panels.partner}, input, inputs};
  }
  const size_t block = panels.blocks.begin + 2 * pair;
  return {{block, smaller_of(block + 1, panels.blocks.end - 1)}, input, inputs};
}

struct TileWorkspace {
  int32_t* sums;       // [512 / 32 passes][kPassSums] between panels
  int32_t* pass_sums;  // [kPassSums] of the last pass
  int8_t* panel;       // for Weights, kPanelBytes
  std::byte* results;  // for Results, kResultBytes
  std::byte* large;    // tiles of tokens; before them, chunk by chunk, the sums that wait
};

// Bytes before `large`: see linear_workspace_bytes.
constexpr size_t kTileScratchBytes =
    (kMaxBlockTokens / (2 * kTileTokens) + 1) * kPassSums * sizeof(int32_t) + kPanelBytes + kResultBytes;
static_assert(kTileScratchBytes <= kLinearScratchBytes);

inline TileWorkspace tile_workspace(std::byte* workspace) {
  auto* sums = reinterpret_cast<int32_t*>(workspace);
  int32_t* pass_sums = sums + kMaxBlockTokens / (2 * kTileTokens) * kPassSums;
  auto* panel = reinterpret_cast<int8_t*>(pass_sums + kPassSums);
  auto* results = reinterpret_cast<std::byte*>(panel + kPanelBytes);
  return {sums, pass_sums, panel, results, results + kResultBytes};
}

struct TileJob {
  size_t tokens, inputs;  // T, K
  const uint8_t* input;   // [T, K] u8
  bool is_tiled;          // as LinearInt4Args has it
  TileWorkspace workspace;
};

// Passes of two tiles that so many tokens take.
inline size_t pass_count(size_t tokens) { return (tokens + 2 * kTileTokens - 1) / (2 * kTileTokens); }

// As many tokens of so many bytes as fit; pairs of tiles.
inline size_t tokens_that_fit(size_t bytes, size_t token_bytes) {
  constexpr size_t kPair = 2 * kTileTokens;
  const size_t most = bytes / token_bytes / kPair * kPair;
  return most < kPair ? kPair : smaller_of(most, kMaxBlockTokens);
}

inline TilePanels tile_panels(const TileJob& job, Slice::Range blocks, size_t partner) {
  const size_t steps = tile_steps(job.inputs);
  const size_t chunks = (job.inputs + kPanelInputs - 1) / kPanelInputs;
  const size_t chunk_inputs = (steps + chunks - 1) / chunks * kTileInputs;
  const size_t used_chunks = (job.inputs + chunk_inputs - 1) / chunk_inputs;
  TilePanels panels = {blocks, job.inputs, partner, used_chunks, chunk_inputs, false, 0};
  size_t most = tokens_that_fit(kLinearTileBytes, steps * kTileInputs);
  if (most < job.tokens) {
    const size_t sum_bytes = pair_count(panels) * kPairBlocks * kRowsPerBlock * sizeof(int32_t);
    const size_t by_chunks = tokens_that_fit(
        smaller_of(kLinearTileBytes, padded_tokens(job.tokens) * steps * kTileInputs), sum_bytes + chunk_inputs);
    panels.chunk_by_chunk = by_chunks > most;
    if (panels.chunk_by_chunk) most = by_chunks;
  }
  // Equal blocks of tokens.
  const size_t token_blocks = (job.tokens + most - 1) / most;
  panels.block_tokens = pass_count((job.tokens + token_blocks - 1) / token_blocks) * 2 * kTileTokens;
  return panels;
}

// Tokens [begin, end) of the call and some of their inputs; tile i of step s lies at i * stride + s * kTileBytes.
struct TokenTiles {
  size_t begin, end;
  size_t first_input;
  const uint8_t* tiles;
  size_t stride;
};

// Row by row they lie K bytes apart, often a multiple of 512: in few sets of L1. As tiles, each is 1 KB in one piece.
// Rows beyond T and inputs beyond K are zeros.
inline void copy_tokens(const TileJob& job, Slice::Range tokens, Slice::Range inputs, uint8_t* tiles) {
  const size_t steps = tile_steps(inputs.end - inputs.begin);
  const size_t whole = (inputs.end - inputs.begin) / kTileInputs;
  const size_t rows = padded_tokens(tokens.end - tokens.begin);
  for (size_t t = 0; t < rows; t++) {
    uint8_t* to = tiles + t / kTileTokens * steps * kTileBytes + t % kTileTokens * kTileInputs;
    if (tokens.begin + t >= tokens.end) {
      for (size_t s = 0; s < steps; s++) std::memset(to + s * kTileBytes, 0, kTileInputs);
      continue;
    }
    const uint8_t* from = job.input + (tokens.begin + t) * job.inputs + inputs.begin;
    for (size_t s = 0; s < whole; s++) std::memcpy(to + s * kTileBytes, from + s * kTileInputs, kTileInputs);
    if (whole == steps) continue;
    std::memcpy(to + whole * kTileBytes, from + whole * kTileInputs, kTileInputs / 2);
    std::memset(to + whole * kTileBytes + kTileInputs / 2, 0, kTileInputs / 2);
  }
}

inline TokenTiles token_tiles(const TileJob& job, Slice::Range tokens, Slice::Range inputs, uint8_t* copy) {
  if (job.is_tiled) {
    const uint8_t* tiles = job.input + token_tile_index(tokens.begin, inputs.begin, job.inputs);
    return {tokens.begin, tokens.end, inputs.begin, tiles, tile_steps(job.inputs) * kTileBytes};
  }
  copy_tokens(job, tokens, inputs, copy);
  return {tokens.begin, tokens.end, inputs.begin, copy, tile_steps(inputs.end - inputs.begin) * kTileBytes};
}

// Asks for the tiles of the next chunk of inputs, some after every pass: those that another thread has written lie in
// another processor's cache.
struct TileFetch {
  const uint8_t* tiles;
  size_t stride, steps;  // as in TokenTiles; tiles of 16 tokens
  size_t done, count, per_pass;
};

inline TileFetch fetch_tiles(const TileJob& job, Slice::Range tokens, Slice::Range inputs, size_t pairs) {
  const TokenTiles next = token_tiles(job, tokens, inputs, nullptr);
  const size_t steps = tile_steps(inputs.end - inputs.begin);
  const size_t count = padded_tokens(tokens.end - tokens.begin) / kTileTokens * steps;
  const size_t passes = pass_count(tokens.end - tokens.begin) * pairs;
  return {next.tiles, next.stride, steps, 0, count, (count + passes - 1) / passes};
}

[[gnu::always_inline]] inline void advance_fetch(TileFetch& fetch) {
  for (const size_t end = smaller_of(fetch.done + fetch.per_pass, fetch.count); fetch.done < end; fetch.done++) {
    const auto* tile = reinterpret_cast<const char*>(fetch.tiles + fetch.done / fetch.steps * fetch.stride +
                                                     fetch.done % fetch.steps * kTileBytes);
    HOTARU_UNROLL(16)
    for (size_t i = 0; i < kTileBytes; i += 64) _mm_prefetch(tile + i, _MM_HINT_T1);
  }
}

// Asks for the weights of the next panel, at an even pace over all steps: a line of both blocks, none or some.
struct PanelFetch {
  const char* first;
  const char* second;
  size_t bytes, per_step;  // of one block
  size_t due, done;
};

[[gnu::always_inline]] inline PanelFetch fetch_in_steps(const void* first, const void* second, size_t bytes,
                                                        size_t steps) {
  return {static_cast<const char*>(first), static_cast<const char*>(second), bytes, (bytes + steps - 1) / steps, 0, 0};
}

[[gnu::always_inline]] inline void advance_fetch(PanelFetch& fetch) {
  if (fetch.done >= fetch.bytes) return;
  for (fetch.due += fetch.per_step; fetch.done < fetch.due; fetch.done += 64) {
    _mm_prefetch(fetch.first + fetch.done, _MM_HINT_T0);
    _mm_prefetch(fetch.second + fetch.done, _MM_HINT_T0);
  }
}

}  // namespace
}  // namespace hotaru
