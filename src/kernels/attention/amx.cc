// Attention in AMX int8 tiles: 16 query rows against 16 keys by 64 channels (or 16 channels by 64 keys) a product. The
// page orders of packed.h are B tiles as they stand. Tiles are configured in full (tile_config.h): rows and channels
// that a block lacks are padding whose products are not used.
#include "kernels/attention/attention.h"
#include "kernels/attention/query_block.h"
#include "kernels/attention/softmax_512.h"

namespace hotaru {
namespace {

constexpr size_t kTileBytes = 1024;
constexpr size_t kTileInputs = 64;
// Tiles 0..3 are sums of four blocks of 16 keys (channels), 4 the rows, 5 and 6 the keys (values) in turn.

// 16 steps of a key block from channel `first` on; where the head is narrower, the steps it has, in `spare`: a tile
// read in place could reach beyond the page. What else `spare` holds meets zeros of the queries.
inline const void* key_tile(const uint8_t* keys, size_t first, size_t width, std::byte* spare) {
  if (width - first >= kTileInputs) return keys + first * kRowsPerBlock;
  __builtin_memcpy(spare, keys + first * kRowsPerBlock, (width - first) * kRowsPerBlock);
  return spare;
}

void score(const QueryBlock& block, const BlockScratch& scratch, size_t padded_width) {
  const size_t width = block.width();
  const size_t row_bytes = scratch.stride * sizeof(int32_t);
  for (size_t page = 0; page < block.pages(); page++) {
    const uint8_t* keys = block.page_keys(page);
    const uint8_t* next = block.page_keys(smaller(page + 1, block.pages() - 1));
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t e = 0; e < padded_width; e += kTileInputs) {
      prefetch_ahead(next + e * kPageTokens, smaller(width - e, kTileInputs) * kPageTokens);
      _tile_loadd(4, scratch.queries + e, padded_width);
      _tile_loadd(5, key_tile(keys, e, width, scratch.rest), 64);
      _tile_dpbsud(0, 4, 5);
      _tile_loadd(6, key_tile(keys + width * 16, e, width, scratch.rest + kTileBytes), 64);
      _tile_dpbsud(1, 4, 6);
      _tile_loadd(5, key_tile(keys + width * 32, e, width, scratch.rest + 2 * kTileBytes), 64);
      _tile_dpbsud(2, 4, 5);
      _tile_loadd(6, key_tile(keys + width * 48, e, width, scratch.rest + 3 * kTileBytes), 64);
      _tile_dpbsud(3, 4, 6);
    }
    int32_t* scores = scratch.scores + page * kPageTokens;
    _tile_stored(0, scores, row_bytes);
    _tile_stored(1, scores + 16, row_bytes);
    _tile_stored(2, scores + 32, row_bytes);
    _tile_stored(3, scores + 48, row_bytes);
  }
}

// N blocks of 16 channels from `first` on, over all pages.
template <int N>
void weigh(const QueryBlock& block, const BlockScratch& scratch, size_t first) {
  _tile_zero(0);
  if constexpr (N > 1) _tile_zero(1);
  if constexpr (N > 2) _tile_zero(2);
  if constexpr (N > 3) _tile_zero(3);
  for (size_t page = 0; page < block.pages(); page++) {
    const int8_t* values = block.page_values(page) + first * kPageTokens;
    const int8_t* next = block.page_values(smaller(page + 1, block.pages() - 1)) + first * kPageTokens;
    prefetch_ahead(next, N * kTileBytes);
    _tile_loadd(4, scratch.codes + page * kPageTokens, scratch.stride);
    _tile_loadd(5, values, 64);
    _tile_dpbusd(0, 4, 5);
    if constexpr (N > 1) {
      _tile_loadd(6, values + kTileBytes, 64);
      _tile_dpbusd(1, 4, 6);
    }
    if constexpr (N > 2) {
      _tile_loadd(5, values + 2 * kTileBytes, 64);
      _tile_dpbusd(2, 4, 5);
    }
    if constexpr (N > 3) {
      _tile_loadd(6, values + 3 * kTileBytes, 64);
      _tile_dpbusd(3, 4, 6);
    }
  }
  const size_t row_bytes = block.width() * sizeof(int32_t);
  _tile_stored(0, scratch.sums + first, row_bytes);
  if constexpr (N > 1) _tile_stored(1, scratch.sums + first + 16, row_bytes);
  if constexpr (N > 2) _tile_stored(2, scratch.sums + first + 32, row_bytes);
  if constexpr (N > 3) _tile_stored(3, scratch.sums + first + 48, row_bytes);
}

void weigh_all(const QueryBlock& block, const BlockScratch& scratch) {
  const size_t width = block.width();
  size_t e = 0;
  for (; e + 64 <= width; e += 64) weigh<4>(block, scratch, e);
  if (width - e == 48) weigh<3>(block, scratch, e);
  if (width - e == 32) weigh<2>(block, scratch, e);
  if (width - e == 16) weigh<1>(block, scratch, e);
}

void attend(const QueryBlock& block) {
  const BlockScratch scratch = block_scratch(block);
  const size_t padded_width = (block.width() + kTileInputs - 1) / kTileInputs * kTileInputs;
  copy_queries(block, scratch.queries, padded_width);
  score(block, scratch, padded_width);
  RowCodes row_codes[kBlockRows];
  for (size_t row = 0; row < block.rows(); row++) {
    const float scale = block.args->score_scale[block.head(row)];
    uint8_t* codes = scratch.codes + row * scratch.stride;
    row_codes[row] =
        row_codes_512(scratch.scores + row * scratch.stride, block.keys_of(row), scale, codes, scratch.stride);
  }
  weigh_all(block, scratch);
  for (size_t row = 0; row < block.rows(); row++) {
    finish_row_256(block, row, scratch.sums + row * block.width(), row_codes[row]);
  }
}

}  // namespace

void attention_amx(const AttentionArgs& args, Slice slice) { for_each_query_block(args, slice, attend); }

}  // namespace hotaru
