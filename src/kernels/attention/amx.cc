// Attention in AMX int8 tiles: 16 query rows against 16 keys by 64 channels (or 16 channels by 64 keys) a product. The
// page orders of packed.h are B tiles as they stand. Tiles are configured in full (tile_config.h): rows and channels
// that a block lacks are padding whose products are not used.
#include "kernels/attention/attention.h"
#include "kernels/attention/query_block.h"
#include "kernels/attention/softmax_512.h"

namespace hotaru {
namespace {

// Tiles 0..3 are sums of four blocks of 16 keys (channels), 4 the rows, 5 and 6 the keys (values) in turn. Those are
// loaded with a hint that leaves L1 to scores and codes.

// 16 steps of a key block from channel `first` on; where the head is narrower, the steps it has, in `spare`: a tile
// read in place could reach beyond the page. What else `spare` holds meets zeros of the queries.
inline const void* key_tile(const uint8_t* keys, size_t first, size_t width, std::byte* spare) {
  if (width - first >= kTileInputs) return keys + first * kRowsPerBlock;
  __builtin_memcpy(spare, keys + first * kRowsPerBlock, (width - first) * kRowsPerBlock);
  return spare;
}

// Of what is read after the next page: six lines of every 4 KB, from which on the processor's own prefetcher follows.
inline void announce(const void* at, size_t bytes) {
  constexpr size_t kReach = size_t{4} << 10, kLines = 6;
  for (size_t begin = 0; begin < bytes; begin += kReach) {
    HOTARU_UNROLL(6)
    for (size_t i = 0; i < kLines * 64; i += 64)
      __builtin_prefetch(static_cast<const std::byte*>(at) + begin + i, 0, 2);
  }
}

// Left rows, [16, padded_width], and what they meet: 64 keys (or columns) in a page's order.
struct Factors {
  const std::byte* left;
  size_t padded_width;
  const uint8_t* packed;
  size_t width;
};

// Adds the products to tiles 0..3. `next`: what to fetch ahead, tile by tile, or null.
inline void add_products(const Factors& factors, std::byte* spare, const uint8_t* next) {
  const auto [left, padded_width, packed, width] = factors;
  for (size_t e = 0; e < padded_width; e += kTileInputs) {
    _tile_loadd(4, left + e, padded_width);
    if (next != nullptr) prefetch_ahead(next + e * kRowsPerBlock, kTileBytes);
    _tile_stream_loadd(5, key_tile(packed, e, width, spare), 64);
    _tile_dpbsud(0, 4, 5);
    if (next != nullptr) prefetch_ahead(next + width * 16 + e * kRowsPerBlock, kTileBytes);
    _tile_stream_loadd(6, key_tile(packed + width * 16, e, width, spare + kTileBytes), 64);
    _tile_dpbsud(1, 4, 6);
    if (next != nullptr) prefetch_ahead(next + width * 32 + e * kRowsPerBlock, kTileBytes);
    _tile_stream_loadd(5, key_tile(packed + width * 32, e, width, spare + 2 * kTileBytes), 64);
    _tile_dpbsud(2, 4, 5);
    if (next != nullptr) prefetch_ahead(next + width * 48 + e * kRowsPerBlock, kTileBytes);
    _tile_stream_loadd(6, key_tile(packed + width * 48, e, width, spare + 3 * kTileBytes), 64);
    _tile_dpbsud(3, 4, 6);
  }
}

inline void clear_sums() {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}
inline void load_sums(const int32_t* from, size_t row_bytes) {
  _tile_loadd(0, from, row_bytes);
  _tile_loadd(1, from + 16, row_bytes);
  _tile_loadd(2, from + 32, row_bytes);
  _tile_loadd(3, from + 48, row_bytes);
}
inline void store_sums(int32_t* to, size_t row_bytes) {
  _tile_stored(0, to, row_bytes);
  _tile_stored(1, to + 16, row_bytes);
  _tile_stored(2, to + 32, row_bytes);
  _tile_stored(3, to + 48, row_bytes);
}

void score(const QueryBlock& block, const BlockScratch& scratch, size_t padded_width) {
  const size_t width = block.width();
  const size_t last = block.pages() - 1;
  const bool reads_cold = block.reads_cold();
  for (size_t page = 0; page <= last; page++) {
    const uint8_t* next = reads_cold ? block.page_keys(smaller(page + 1, last)) : nullptr;
    if (reads_cold) announce(block.page_keys(smaller(page + 2, last)), page_side_bytes(width));
    clear_sums();
    add_products({scratch.queries, padded_width, block.page_keys(page), width}, scratch.rest, next);
    store_sums(scratch.scores + page * kPageTokens, scratch.stride * sizeof(int32_t));
  }
}

void add_bias(const QueryBlock& block, const BlockScratch& scratch, size_t padded_width) {
  constexpr size_t kRowBytes = kPageTokens * sizeof(int32_t);
  const size_t width = block.width();
  const BlockCoefficients coefficients = copy_coefficients(block, scratch, padded_width);
  int32_t* sums = scratch.bias_sums;
  for (size_t page = 0; page < block.pages(); page++) {
    const uint8_t* high = block.page_columns(page);
    const uint8_t* low = high + page_side_bytes(width);
    clear_sums();
    add_products({coefficients.high, padded_width, high, width}, scratch.rest, nullptr);
    store_sums(sums, kRowBytes);
    for (size_t i = 0; i < kBlockRows * kPageTokens; i += 16) {
      store_512(sums + i, _mm512_slli_epi32(load_512(sums + i), 8));
    }
    load_sums(sums, kRowBytes);
    add_products({coefficients.high, padded_width, low, width}, scratch.rest, nullptr);
    add_products({coefficients.low, padded_width, high, width}, scratch.rest, nullptr);
    store_sums(sums, kRowBytes);
    add_bias_256(block, scratch, page);
  }
}

// N blocks of 16 channels from `first` on, over all pages.
template <int N>
void weigh(const QueryBlock& block, const BlockScratch& scratch, size_t first) {
  _tile_zero(0);
  if constexpr (N > 1) _tile_zero(1);
  if constexpr (N > 2) _tile_zero(2);
  if constexpr (N > 3) _tile_zero(3);
  const size_t last = block.pages() - 1;
  const bool reads_cold = block.reads_cold();
  for (size_t page = 0; page <= last; page++) {
    const int8_t* values = block.page_values(page) + first * kPageTokens;
    const int8_t* next = block.page_values(smaller(page + 1, last)) + first * kPageTokens;
    if (reads_cold) announce(block.page_values(smaller(page + 2, last)) + first * kPageTokens, N * kTileBytes);
    if (reads_cold) prefetch_ahead(next, kTileBytes);
    _tile_loadd(4, scratch.codes + page * kPageTokens, scratch.stride);
    _tile_stream_loadd(5, values, 64);
    _tile_dpbusd(0, 4, 5);
    if constexpr (N > 1) {
      if (reads_cold) prefetch_ahead(next + kTileBytes, kTileBytes);
      _tile_stream_loadd(6, values + kTileBytes, 64);
      _tile_dpbusd(1, 4, 6);
    }
    if constexpr (N > 2) {
      if (reads_cold) prefetch_ahead(next + 2 * kTileBytes, kTileBytes);
      _tile_stream_loadd(5, values + 2 * kTileBytes, 64);
      _tile_dpbusd(2, 4, 5);
    }
    if constexpr (N > 3) {
      if (reads_cold) prefetch_ahead(next + 3 * kTileBytes, kTileBytes);
      _tile_stream_loadd(6, values + 3 * kTileBytes, 64);
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

// Two blocks with the same keys, one behind the other in the scratch: 2 N blocks of 16 channels from `first` on. Tiles
// 0 and 1 are sums of the first block, 2 and 3 of the second; 4 and 5 codes, 6 and 7 values.
template <int N>
void weigh_two(const QueryBlock& block, const BlockScratch& scratch, size_t first) {
  clear_sums();
  const uint8_t* second_codes = scratch.codes + kBlockRows * scratch.stride;
  for (size_t page = 0; page < block.pages(); page++) {
    const int8_t* values = block.page_values(page) + first * kPageTokens;
    _tile_loadd(4, scratch.codes + page * kPageTokens, scratch.stride);
    _tile_stream_loadd(6, values, 64);
    _tile_dpbusd(0, 4, 6);
    _tile_loadd(5, second_codes + page * kPageTokens, scratch.stride);
    _tile_dpbusd(2, 5, 6);
    if constexpr (N > 1) {
      _tile_stream_loadd(7, values + kTileBytes, 64);
      _tile_dpbusd(1, 4, 7);
      _tile_dpbusd(3, 5, 7);
    }
  }
  const size_t row_bytes = block.width() * sizeof(int32_t);
  int32_t* sums = scratch.sums + first;
  int32_t* second_sums = sums + kBlockRows * block.width();
  _tile_stored(0, sums, row_bytes);
  _tile_stored(2, second_sums, row_bytes);
  if constexpr (N > 1) {
    _tile_stored(1, sums + 16, row_bytes);
    _tile_stored(3, second_sums + 16, row_bytes);
  }
}

void weigh_all_of_two(const QueryBlock& block, const BlockScratch& scratch) {
  size_t e = 0;
  for (; e + 32 <= block.width(); e += 32) weigh_two<2>(block, scratch, e);
  if (e < block.width()) weigh_two<1>(block, scratch, e);
}

// Two share every tile of values.
void attend(const QueryBlock* blocks, size_t count) {
  const BlockScratch scratch = block_scratch(blocks[0], count);
  const size_t width = blocks[0].width();
  const size_t padded_width = (width + kTileInputs - 1) / kTileInputs * kTileInputs;
  RowCodes row_codes[kMostTogether][kBlockRows];
  BlockScratch own = scratch;
  for (size_t i = 0; i < count; i++, own.codes += kBlockRows * scratch.stride) {
    copy_queries(blocks[i], scratch.queries, padded_width);
    score(blocks[i], scratch, padded_width);
    if (blocks[i].splits()) add_bias(blocks[i], scratch, padded_width);
    code_rows_512(blocks[i], own, row_codes[i]);
  }
  if (count == 2) {
    weigh_all_of_two(blocks[0], scratch);
  } else {
    weigh_all(blocks[0], scratch);
  }
  for (size_t i = 0; i < count; i++) {
    for (size_t row = 0; row < blocks[i].rows(); row++) {
      finish_row_512(blocks[i], row, scratch.sums + (i * kBlockRows + row) * width, row_codes[i][row]);
    }
  }
}

}  // namespace

void attention_amx(const AttentionArgs& args, Slice slice) {
  for_each_query_block(args, slice, kMostTogether,
                       [](const QueryBlock* blocks, size_t count) { attend(blocks, count); });
}

}  // namespace hotaru
