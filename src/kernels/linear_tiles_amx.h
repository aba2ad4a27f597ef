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
#include "kernels/linear_int4/linear_int4.h"
#include "kernels/linear_rows_avx512.h"
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

// Sums of a pass, of two tiles of tokens with a pair of blocks: [2 blocks][32 tokens][16 rows]. They lie in tiles 0
// (the first 16 tokens and the first block), 1 (the second block), 2 and 3 (the other tokens); 4 and 5 are tokens, 6
// and 7 weights.
constexpr size_t kTileSums = kTileTokens * kRowsPerBlock;

// kWait: go where they wait. kAdd: are added to those that wait. kFinish: with those that wait they are what the tokens
// make of the pair of blocks.
enum class SumsUse { kWait, kAdd, kFinish };

// Those of up to 32 tokens from `token` on.
struct PassSums {
  SumsUse use;
  int32_t* waiting;
  size_t token, tokens;
  BlockPair blocks;
};

template <int kTiles>
inline void load_step(const uint8_t* tokens, size_t stride, const int8_t* first, const int8_t* second) {
  _tile_loadd(6, first, 64);
  _tile_stream_loadd(4, tokens, 64);
  if constexpr (kTiles > 1) _tile_stream_loadd(5, tokens + stride, 64);
  _tile_loadd(7, second, 64);
}

template <int kTiles>
inline void multiply_step(const uint8_t* tokens, size_t stride, const int8_t* first, const int8_t* second) {
  load_step<kTiles>(tokens, stride, first, second);
  _tile_dpbusd(0, 4, 6);
  if constexpr (kTiles > 1) _tile_dpbusd(2, 5, 6);
  _tile_dpbusd(1, 4, 7);
  if constexpr (kTiles > 1) _tile_dpbusd(3, 5, 7);
}

// The first step of a pass. The sums of the pass before go to `done`.
template <int kTiles>
inline void multiply_first_step(const uint8_t* tokens, size_t stride, const int8_t* first, const int8_t* second,
                                int32_t* done) {
  load_step<kTiles>(tokens, stride, first, second);
  _tile_stored(0, done, 64);
  _tile_zero(0);
  _tile_dpbusd(0, 4, 6);
  _tile_stored(2, done + kTileSums, 64);
  _tile_zero(2);
  if constexpr (kTiles > 1) _tile_dpbusd(2, 5, 6);
  _tile_stored(1, done + 2 * kTileSums, 64);
  _tile_zero(1);
  _tile_dpbusd(1, 4, 7);
  _tile_stored(3, done + 3 * kTileSums, 64);
  _tile_zero(3);
  if constexpr (kTiles > 1) _tile_dpbusd(3, 5, 7);
}

inline void store_sums(int32_t* done) {
  _tile_stored(0, done, 64);
  _tile_stored(2, done + kTileSums, 64);
  _tile_stored(1, done + 2 * kTileSums, 64);
  _tile_stored(3, done + 3 * kTileSums, 64);
}

// What makes floats of the sums of a pair of blocks: sums + offset, times scale, plus bias. Read once a pass: loads of
// vectors and of tiles share two ports, and tiles need all of both.
struct PairColumns {
  alignas(64) int32_t offset[kPairBlocks][kRowsPerBlock];
  alignas(64) float scale[kPairBlocks][kRowsPerBlock];
  alignas(64) float bias[kPairBlocks][kRowsPerBlock];
};

// The block's rows below N, a bit each.
[[gnu::always_inline]] inline __mmask16 rows_of(const LinearOutput& to, size_t block) {
  const size_t rows = to.outputs - smaller_of(block * kRowsPerBlock, to.outputs);
  return static_cast<__mmask16>(rows >= kRowsPerBlock ? 0xFFFF : (1U << rows) - 1);
}

[[gnu::always_inline]] inline void fill_columns(const LinearOutput& to, size_t block, size_t index,
                                                PairColumns& columns) {
  const __mmask16 rows = rows_of(to, block);
  const size_t n = block * kRowsPerBlock;
  const __m512 none = _mm512_set1_ps(-0.0F);  // x + -0.0 is x
  _mm512_store_si512(columns.offset[index], _mm512_maskz_loadu_epi32(rows, to.offset + n));
  _mm512_store_ps(columns.scale[index], _mm512_maskz_loadu_ps(rows, to.scale + n));
  _mm512_store_ps(columns.bias[index], to.bias == nullptr ? none : _mm512_maskz_loadu_ps(rows, to.bias + n));
}

[[gnu::always_inline]] inline void fill_columns(const LinearOutput& to, BlockPair blocks, PairColumns& columns) {
  fill_columns(to, blocks.first, 0, columns);
  fill_columns(to, blocks.second, 1, columns);
}

// A token's row of a block's sums, in two parts.
struct SumRow {
  const int32_t* last;
  const int32_t* waiting;
};

[[gnu::always_inline]] inline SumRow operator+(SumRow row, size_t sums) {
  return {row.last + sums, row.waiting + sums};
}

[[gnu::always_inline]] inline __m512i add_up(SumRow row) {
  return _mm512_add_epi32(_mm512_load_si512(row.last), _mm512_load_si512(row.waiting));
}

[[gnu::always_inline]] inline __m512 finish_row(SumRow row, size_t index, const PairColumns& columns) {
  const __m512i offset = _mm512_load_si512(columns.offset[index]);
  const __m512 y = scale_sums_512(add_up(row), offset, _mm512_load_ps(columns.scale[index]));
  return _mm512_add_ps(y, _mm512_load_ps(columns.bias[index]));
}

// Adds up the sums of passes, or calls store.begin(sums) for what is finished, then store.next(row, count) for its
// tokens: kStoredTokens in every tile step, while the next tiles multiply. row: the tokens' sums with the first block;
// with the second one they lie kSecondSums further on. The sums of kStoredTokens may be read whatever the count.
template <typename Store>
class Results {
 public:
  Results(const TileWorkspace& workspace, const Store& store) : pass_sums_(workspace.pass_sums), store_(store) {}

  [[nodiscard, gnu::always_inline]] int32_t* place(const PassSums& sums) const {
    return sums.use == SumsUse::kWait ? sums.waiting : pass_sums_;
  }
  [[gnu::always_inline]] void take(const PassSums& sums) {
    if (sums.use == SumsUse::kWait) return;
    finishes_ = sums.use == SumsUse::kFinish;
    if (finishes_) store_.begin(sums);
    last_ = pass_sums_;
    waiting_ = sums.waiting;
    left_ = sums.tokens;
  }
  [[gnu::always_inline]] void advance() {
    if (left_ == 0) return;
    const size_t count = smaller_of(left_, kStoredTokens);
    if (finishes_) {
      store_.next(SumRow{last_, waiting_}, count);
    } else {
      add_tokens();
    }
    last_ += kStoredTokens * kRowsPerBlock;
    waiting_ += kStoredTokens * kRowsPerBlock;
    left_ -= count;
  }
  [[gnu::always_inline]] void finish() {
    while (left_ > 0) advance();
  }

 private:
  [[gnu::always_inline]] void add_tokens() const {
    HOTARU_UNROLL(4)
    for (size_t v = 0; v < kStoredTokens; v++) {
      for (size_t at = v * kRowsPerBlock; at < kPassSums; at += kSecondSums)
        _mm512_store_si512(waiting_ + at, add_up(SumRow{last_, waiting_} + at));
    }
  }

  int32_t* pass_sums_;
  Store store_;
  bool finishes_ = false;
  const int32_t* last_ = nullptr;
  int32_t* waiting_ = nullptr;
  size_t left_ = 0;
};

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
  multiply_first_step<kTiles>(tokens, stride, weights.tile(0, 0), weights.tile(1, 0), results.place(held));
  results.take(held);
  weights.fetch();
  if constexpr (kIsLast) weights.replace(0);
  for (size_t step = 1; step < steps; step++) {
    multiply_step<kTiles>(tokens + step * kTileBytes, stride, weights.tile(0, step), weights.tile(1, step));
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

// Floats, what a linear layer alone writes.
class StoreFloats {
 public:
  explicit StoreFloats(const LinearOutput& to) : to_(to) {}

  [[gnu::always_inline]] void begin(const PassSums& sums) {
    const auto [first, second] = sums.blocks;
    fill_columns(to_, sums.blocks, columns_);
    rows_[0] = rows_of(to_, first);
    rows_[1] = second == first ? 0 : rows_of(to_, second);
    second_ = (second - first) * kRowsPerBlock;
    out_ = to_.output + sums.token * to_.outputs + first * kRowsPerBlock;
  }
  [[gnu::always_inline]] void next(SumRow row, size_t count) {
    for (size_t v = 0; v < count; v++, row = row + kRowsPerBlock, out_ += to_.outputs) {
      const auto* coming = reinterpret_cast<const char*>(out_ + 2 * kTileTokens * to_.outputs);  // in the next pass
      _mm_prefetch(coming, _MM_HINT_T0);
      _mm_prefetch(coming + 64, _MM_HINT_T0);
      store(out_, rows_[0], finish_row(row, 0, columns_));
      store(out_ + second_, rows_[1], finish_row(row + kSecondSums, 1, columns_));
    }
  }

 private:
  [[gnu::always_inline]] void store(float* out, __mmask16 rows, __m512 y) const {
    if (to_.add_to_output) y = _mm512_add_ps(_mm512_maskz_loadu_ps(rows, out), y);
    _mm512_mask_storeu_ps(out, rows, y);
  }

  LinearOutput to_;
  PairColumns columns_ = {};
  __mmask16 rows_[kPairBlocks] = {};
  size_t second_ = 0;
  float* out_ = nullptr;  // the next token's
};

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
