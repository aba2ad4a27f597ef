// Many tokens with AMX: tiles of 16 tokens x 64 inputs times 64 inputs x 16 rows, two by two. Weights come in panels of
// two blocks x 768 inputs, which stay in L1; up to 512 tokens, as tiles in L2, pass by a panel, loaded with a hint
// (TILELOADDT1) that leaves L1 to it. Every pass of tokens by a panel begins with zeros: a tile that is stored and
// cleared right before its first product costs nothing, one that is loaded waits. Vectors add the sums of a pass to
// those of the panels before, which wait in memory. While tiles multiply, the vector units have time for such work, a
// little in every tile step:
//
//   Weights   begin(order, passes)           makes the first panel ready; `passes` of tokens will go by each
//             tile(b, step)                  64 inputs x 16 rows of block b of the panel at hand, packed int8
//             fetch()                        after every step: asks for a part of a later panel
//             replace(step)                  after every step of the last pass: its tiles are not needed again
//             next()                         makes the next panel ready
//   Results   place(sums)                    where the sums of a pass go from the tiles
//             take(sums)                     after that: begins to add them up or to finish them
//             advance()                      after every other step: does a part of it
//             finish()                       does the rest
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/slice.h"
#include "kernels/packed.h"
#include "kernels/tile_panels_amx.h"
#include "kernels/tile_results_amx.h"
#include "kernels/x86_intrinsics.h"

namespace hotaru {
namespace {  // each kernel's own: NUMERICS on weak symbols

// tokens, first, second: two tiles of tokens (or one) and one of each block. The first step of a pass (kBegins) stores
// the sums of the pass before to `done`, each tile right before its first product.
template <int kTiles, bool kBegins>
inline void multiply_step(const uint8_t* tokens, size_t stride, const int8_t* first, const int8_t* second,
                          int32_t* done) {
  _tile_loadd(6, first, 64);
  _tile_stream_loadd(4, tokens, 64);
  if constexpr (kTiles > 1) _tile_stream_loadd(5, tokens + stride, 64);
  _tile_loadd(7, second, 64);
  if constexpr (kBegins) {
    _tile_stored(0, done, 64);
    _tile_zero(0);
  }
  _tile_dpbusd(0, 4, 6);
  if constexpr (kBegins) {
    _tile_stored(2, done + kTileSums, 64);
    _tile_zero(2);
  }
  if constexpr (kTiles > 1) _tile_dpbusd(2, 5, 6);
  if constexpr (kBegins) {
    _tile_stored(1, done + 2 * kTileSums, 64);
    _tile_zero(1);
  }
  _tile_dpbusd(1, 4, 7);
  if constexpr (kBegins) {
    _tile_stored(3, done + 3 * kTileSums, 64);
    _tile_zero(3);
  }
  if constexpr (kTiles > 1) _tile_dpbusd(3, 5, 7);
}

inline void store_sums(int32_t* done) {
  _tile_stored(0, done, 64);
  _tile_stored(2, done + kTileSums, 64);
  _tile_stored(1, done + 2 * kTileSums, 64);
  _tile_stored(3, done + 3 * kTileSums, 64);
}

struct Pass {
  const uint8_t* tokens;  // one or two tiles, from the panel's first input on
  size_t stride;
  size_t steps;
};

// Tile loads count as reads of all memory. What nothing else can see stays in registers all the same, so everything
// here is one function: not even a copy of `weights` and `results` for every pass, whose wide loads would wait for the
// narrow stores before them, and those for the tiles' stores.
//
// held: what the tiles hold, the sums of the pass before.
template <int kTiles, bool kIsLast, typename Weights, typename Store>
[[gnu::always_inline]] inline void multiply_pass(const Pass& pass, const PassSums& held, Weights& weights,
                                                 Results<Store>& results) {
  const auto [tokens, stride, steps] = pass;
  results.finish();
  multiply_step<kTiles, true>(tokens, stride, weights.tile(0, 0), weights.tile(1, 0), results.place(held));
  results.take(held);
  weights.fetch();
  if constexpr (kIsLast) weights.replace(0);
  for (size_t step = 1; step < steps; step++) {
    multiply_step<kTiles, false>(tokens + step * kTileBytes, stride, weights.tile(0, step), weights.tile(1, step),
                                 nullptr);
    weights.fetch();
    if constexpr (kIsLast) weights.replace(step);
    results.advance();
  }
}

// A panel and what it meets.
struct PanelWork {
  TilePanel panel;
  TokenTiles tokens;
  SumsUse use;
  int32_t* waiting;       // those of the first tokens
  size_t waiting_stride;  // of 32 tokens
};

template <typename Weights, typename Store>
[[gnu::always_inline]] inline void multiply_panel(const PanelWork& work, PassSums& held, TileFetch& fetch,
                                                  Weights& weights, Results<Store>& results) {
  const auto& [panel, tokens, use, first_waiting, waiting_stride] = work;
  const uint8_t* tiles = tokens.tiles + (panel.first_input - tokens.first_input) / kTileInputs * kTileBytes;
  Pass pass = {tiles, tokens.stride, tile_steps(panel.inputs)};
  int32_t* waiting = first_waiting;
  for (size_t t = tokens.begin; t < tokens.end; t += 2 * kTileTokens) {
    const size_t count = smaller_of(2 * kTileTokens, tokens.end - t);
    if (t + count < tokens.end) {
      multiply_pass<2, false>(pass, held, weights, results);
    } else if (count > kTileTokens) {
      multiply_pass<2, true>(pass, held, weights, results);
    } else {
      multiply_pass<1, true>(pass, held, weights, results);
    }
    held = {use, waiting, t, count, panel.blocks};
    waiting += waiting_stride;
    advance_fetch(fetch);
    pass.tokens += 2 * tokens.stride;
  }
}

template <typename Weights, typename Store>
[[gnu::always_inline]] inline void multiply_tiles(const TileJob& job, const TilePanels& order, Weights& weights,
                                                  Results<Store>& results) {
  const size_t pairs = pair_count(order);
  const size_t panels = panel_count(order);
  for (size_t begin = 0; begin < job.tokens; begin += order.block_tokens) {
    const Slice::Range block = {begin, smaller_of(begin + order.block_tokens, job.tokens)};
    const size_t passes = pass_count(block.end - begin);
    int32_t* sums = job.workspace.sums;
    auto* copy = reinterpret_cast<uint8_t*>(job.workspace.large);
    size_t pair_sums = 0;
    if (order.chunk_by_chunk) {
      sums = reinterpret_cast<int32_t*>(job.workspace.large);
      pair_sums = passes * kPassSums;
      copy += pairs * pair_sums * sizeof(int32_t);
    }
    TokenTiles tokens = {};
    TileFetch fetch = {};
    const bool is_whole = order.chunks == 1;  // then nothing waits
    if (is_whole) std::memset(sums, 0, kPassSums * sizeof(int32_t));
    weights.begin(order, passes);
    PassSums held = {SumsUse::kWait, job.workspace.pass_sums, 0, 0, {}};  // none yet
    for (size_t p = 0; p < panels; p++) {
      const TilePanel panel = panel_at(order, p);
      const size_t end = panel.first_input + panel.inputs;
      if (!order.chunk_by_chunk && p == 0) tokens = token_tiles(job, block, {0, job.inputs}, copy);
      if (order.chunk_by_chunk && p % pairs == 0) {
        tokens = token_tiles(job, block, {panel.first_input, end}, copy);
        if (job.is_tiled && end < job.inputs)
          fetch = fetch_tiles(job, block, {end, smaller_of(end + order.chunk_inputs, job.inputs)}, pairs);
      }
      const SumsUse use = end == job.inputs        ? SumsUse::kFinish
                          : panel.first_input == 0 ? SumsUse::kWait
                                                   : SumsUse::kAdd;
      int32_t* waiting = sums + pair_at(order, p) * pair_sums;
      multiply_panel({panel, tokens, use, waiting, is_whole ? 0 : kPassSums}, held, fetch, weights, results);
      weights.next();
    }
    results.finish();
    store_sums(results.place(held));
    results.take(held);
    results.finish();
  }
}

}  // namespace
}  // namespace hotaru
