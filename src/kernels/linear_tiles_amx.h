// Many tokens with AMX: tiles of 16 tokens x 64 inputs times 64 inputs x 16 rows, two by two. Weights come in panels of
// up to two blocks x 640 inputs, which stay in L1; the sums of up to 512 tokens wait in memory between the panels of
// one pair of blocks. Where the weights come from is the business of `Panels`:
//
//   begin(panel)    starts to make a panel ready;  advance() does a part of it: called once per tile step, it hides in
//   finish()        makes the rest of it;          the shadow of the tile unit
//   block(b)        [steps][16 steps of packed int8][64]: tiles of the finished panel's block b
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/slice.h"
#include "kernels/linear_rows_avx512.h"
#include "kernels/packed.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {

inline constexpr size_t kTileTokens = 16;
inline constexpr size_t kTileInputs = 64;
inline constexpr size_t kTileBytes = 1024;
inline constexpr size_t kPanelBlocks = 2;
inline constexpr size_t kMaxPanelInputs = 640;
inline constexpr size_t kMaxPanelBytes = kPanelBlocks * kMaxPanelInputs * kRowsPerBlock;
// From one panel buffer to the next: not a multiple of 4096, or stores into one hold up loads from the other.
inline constexpr size_t kPanelStride = kMaxPanelBytes + 25 * 64;
inline constexpr size_t kMaxBlockTokens = 512;
inline constexpr size_t kActivationBytes = 1280 * 1024;  // of a block of tokens, to stay in L2

struct TilePanel {
  size_t first_block;
  size_t blocks;  // 1 or 2
  size_t first_input;
  size_t inputs;  // a multiple of 32
};

// All panels of a slice in the order they are used: chunks of inputs inside, pairs of blocks outside.
struct TilePanels {
  Slice::Range blocks;
  size_t inputs, chunks, chunk_inputs;
};

// 16 tokens from `row` on. Tokens below `first` are there only because the last tile must be full: it overlaps the one
// before, and its own are [first, end).
struct TokenTile {
  size_t row, first, end;
};

// Tokens [begin, end): a multiple of 16, or up to the last of the call. tokens: T >= 16.
struct TokenBlock {
  size_t begin, end, tokens;
};

// Free functions and not members, because a member defined in its class is a weak symbol (NUMERICS 8).
static inline size_t smaller_of(size_t a, size_t b) { return a < b ? a : b; }

static inline size_t tile_steps(const TilePanel& panel) { return (panel.inputs + kTileInputs - 1) / kTileInputs; }

static inline TilePanels tile_panels(Slice::Range blocks, size_t inputs) {
  const size_t chunks = (inputs + kMaxPanelInputs - 1) / kMaxPanelInputs;
  const size_t steps = (inputs + kTileInputs - 1) / kTileInputs;
  const size_t chunk_inputs = (steps + chunks - 1) / chunks * kTileInputs;
  return {blocks, inputs, (inputs + chunk_inputs - 1) / chunk_inputs, chunk_inputs};
}

static inline size_t panel_count(const TilePanels& panels) {
  return (panels.blocks.end - panels.blocks.begin + 1) / kPanelBlocks * panels.chunks;
}

static inline TilePanel panel_at(const TilePanels& panels, size_t index) {
  const size_t block = panels.blocks.begin + index / panels.chunks * kPanelBlocks;
  const size_t input = index % panels.chunks * panels.chunk_inputs;
  return {block, smaller_of(kPanelBlocks, panels.blocks.end - block), input,
          smaller_of(panels.chunk_inputs, panels.inputs - input)};
}

static inline size_t tile_count(const TokenBlock& block) {
  return (block.end - block.begin + kTileTokens - 1) / kTileTokens;
}

static inline TokenTile tile_at(const TokenBlock& block, size_t index) {
  const size_t first = block.begin + index * kTileTokens;
  return {smaller_of(first, block.tokens - kTileTokens), first, smaller_of(first + kTileTokens, block.end)};
}

struct TileWorkspace {
  int32_t* sums;      // [512 / 16 tiles][2 blocks][16 tokens][16 rows]
  uint8_t* last_row;  // [16][64] the last half step of the last 16 tokens, see tile_source
  std::byte* free;    // for Panels
};

static inline TileWorkspace tile_workspace(std::byte* workspace) {
  std::byte* last_row = workspace + kMaxBlockTokens / kTileTokens * kPanelBlocks * kTileBytes;
  return {reinterpret_cast<int32_t*>(workspace), reinterpret_cast<uint8_t*>(last_row), last_row + kTileBytes};
}

struct TileJob {
  PanelJob rows;
  TileWorkspace workspace;
};

struct TileSource {
  const uint8_t* base;
  size_t stride;
};

// Inputs k .. k+63 of 16 tokens. When K is an odd multiple of 32 the last step reaches 32 inputs into the next token,
// where the weights are zero; the last token has no next, so it comes from a copy.
static inline TileSource tile_source(const TileJob& job, const TokenTile& tile, size_t k) {
  const bool beyond = k + kTileInputs > job.rows.inputs && tile.row + kTileTokens == job.rows.tokens;
  if (beyond) return {job.workspace.last_row, kTileInputs};
  return {job.rows.input + tile.row * job.rows.inputs + k, job.rows.inputs};
}

static inline void copy_last_half_step(const TileJob& job) {
  std::memset(job.workspace.last_row, 0, kTileBytes);
  if (job.rows.inputs % kTileInputs == 0) return;
  for (size_t t = 0; t < kTileTokens; t++) {
    const size_t end = (job.rows.tokens - kTileTokens + t + 1) * job.rows.inputs;
    std::memcpy(job.workspace.last_row + t * kTileInputs, job.rows.input + end - kTileInputs / 2, kTileInputs / 2);
  }
}

// Tiles 0 .. 3 are sums[tile][block], 4 and 5 tokens, 6 and 7 weights.
template <int kTiles, int kBlocks>
static inline void begin_sums(const int32_t* sums, bool first) {
  if (first) {
    _tile_zero(0);
    if constexpr (kBlocks > 1) _tile_zero(1);
    if constexpr (kTiles > 1) _tile_zero(2);
    if constexpr (kTiles > 1 && kBlocks > 1) _tile_zero(3);
  } else {
    _tile_loadd(0, sums, 64);
    if constexpr (kBlocks > 1) _tile_loadd(1, sums + 256, 64);
    if constexpr (kTiles > 1) _tile_loadd(2, sums + 512, 64);
    if constexpr (kTiles > 1 && kBlocks > 1) _tile_loadd(3, sums + 768, 64);
  }
}

template <int kTiles, int kBlocks>
static inline void end_sums(int32_t* sums) {
  _tile_stored(0, sums, 64);
  if constexpr (kBlocks > 1) _tile_stored(1, sums + 256, 64);
  if constexpr (kTiles > 1) _tile_stored(2, sums + 512, 64);
  if constexpr (kTiles > 1 && kBlocks > 1) _tile_stored(3, sums + 768, 64);
}

template <int kTiles, int kBlocks>
static inline void multiply_step(const TileSource (&tokens)[kTiles], const int8_t* const (&weights)[kPanelBlocks],
                                 size_t step) {
  _tile_loadd(6, weights[0] + step * kTileBytes, 64);
  _tile_loadd(4, tokens[0].base, tokens[0].stride);
  _tile_dpbusd(0, 4, 6);
  if constexpr (kTiles > 1) {
    _tile_loadd(5, tokens[1].base, tokens[1].stride);
    _tile_dpbusd(2, 5, 6);
  }
  if constexpr (kBlocks > 1) {
    _tile_loadd(7, weights[1] + step * kTileBytes, 64);
    _tile_dpbusd(1, 4, 7);
    if constexpr (kTiles > 1) _tile_dpbusd(3, 5, 7);
  }
}

// One or two tiles of tokens against a panel.
template <int kTiles, int kBlocks, typename Panels>
static inline void multiply_panel(const TileJob& job, const TilePanel& panel, const TokenTile (&tiles)[kTiles],
                                  int32_t* sums, Panels& panels) {
  begin_sums<kTiles, kBlocks>(sums, panel.first_input == 0);
  const int8_t* const weights[kPanelBlocks] = {panels.block(0), panels.block(kBlocks - 1)};
  for (size_t step = 0; step < tile_steps(panel); step++) {
    const size_t k = panel.first_input + step * kTileInputs;
    TileSource tokens[kTiles];
    for (int i = 0; i < kTiles; i++) tokens[i] = tile_source(job, tiles[i], k);
    multiply_step<kTiles, kBlocks>(tokens, weights, step);
    panels.advance();
  }
  end_sums<kTiles, kBlocks>(sums);
}

template <int kBlocks, typename Panels>
static inline void multiply_tokens(const TileJob& job, const TilePanel& panel, const TokenBlock& tokens,
                                   Panels& panels) {
  size_t i = 0;
  int32_t* sums = job.workspace.sums;
  for (; i + 2 <= tile_count(tokens); i += 2, sums += 4 * 256) {
    multiply_panel<2, kBlocks>(job, panel, {tile_at(tokens, i), tile_at(tokens, i + 1)}, sums, panels);
  }
  if (i < tile_count(tokens)) multiply_panel<1, kBlocks>(job, panel, {tile_at(tokens, i)}, sums, panels);
}

static inline void store_tokens(const TileJob& job, const TilePanel& panel, const TokenBlock& tokens) {
  for (size_t i = 0; i < tile_count(tokens); i++) {
    const TokenTile tile = tile_at(tokens, i);
    for (size_t t = tile.first; t < tile.end; t++) {
      for (size_t b = 0; b < panel.blocks; b++) {
        const int32_t* sums =
            job.workspace.sums + ((i * kPanelBlocks + b) * kTileTokens + t - tile.row) * kRowsPerBlock;
        store_16_rows(job.rows.to, t, (panel.first_block + b) * kRowsPerBlock, _mm512_loadu_si512(sums));
      }
    }
  }
}

// Tokens of a block: few enough for L2 and for the sums, equal parts, pairs of tiles.
static inline size_t block_tokens(const PanelJob& job) {
  size_t most = kActivationBytes / job.inputs / (2 * kTileTokens) * (2 * kTileTokens);
  if (most < 2 * kTileTokens) most = 2 * kTileTokens;
  if (most > kMaxBlockTokens) most = kMaxBlockTokens;
  const size_t blocks = (job.tokens + most - 1) / most;
  return ((job.tokens + blocks - 1) / blocks + 2 * kTileTokens - 1) / (2 * kTileTokens) * (2 * kTileTokens);
}

// T >= 16.
template <typename Panels>
static inline void multiply_tiles(const TileJob& job, const TilePanels& order, Panels& panels) {
  copy_last_half_step(job);
  const size_t per_block = block_tokens(job.rows);
  for (size_t begin = 0; begin < job.rows.tokens; begin += per_block) {
    const TokenBlock tokens = {begin, smaller_of(begin + per_block, job.rows.tokens), job.rows.tokens};
    panels.begin(panel_at(order, 0), 1);
    for (size_t p = 0; p < panel_count(order); p++) {
      const TilePanel panel = panel_at(order, p);
      panels.finish();
      const size_t steps = (tile_count(tokens) + 1) / 2 * tile_steps(panel);
      if (p + 1 < panel_count(order)) panels.begin(panel_at(order, p + 1), steps);
      if (panel.blocks == 2) {
        multiply_tokens<2>(job, panel, tokens, panels);
      } else {
        multiply_tokens<1>(job, panel, tokens, panels);
      }
      if (panel.first_input + panel.inputs == job.rows.inputs) store_tokens(job, panel, tokens);
    }
  }
}

}  // namespace hotaru
