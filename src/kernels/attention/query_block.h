// The walk of the vector kernels over attention's work: blocks of up to 16 query rows that read the same keys, so that
// each key and value loaded serves all of them. Included by ISA files only, so everything here has internal linkage,
// the class's members too, and no template of the standard library is used: see NUMERICS on weak symbols.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention/attention.h"

namespace hotaru {
namespace {

inline constexpr size_t kBlockRows = 16;
inline constexpr size_t kMostTogether = 2;

constexpr size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
constexpr size_t larger(size_t a, size_t b) { return a < b ? b : a; }

// Rows r = (token - first_token) * heads + (head - first_head) of one kv head and one context.
struct QueryBlock {
  const AttentionArgs* args;
  size_t kv_head;
  size_t first_token;
  size_t tokens;
  size_t first_head;
  size_t heads;
  size_t keys;  // the most keys that one of its rows sees

  [[nodiscard]] size_t rows() const { return tokens * heads; }
  [[nodiscard]] size_t width() const { return static_cast<size_t>(args->head_width); }
  [[nodiscard]] size_t pages() const { return (keys + kPageTokens - 1) / kPageTokens; }
  [[nodiscard]] size_t head(size_t row) const { return first_head + row % heads; }
  [[nodiscard]] size_t keys_of(size_t row) const {
    return static_cast<size_t>(args->position[first_token + row / heads]) + 1;
  }
  // Index of the row's first element in query and output.
  [[nodiscard]] size_t element(size_t row) const {
    const size_t token = first_token + row / heads;
    return (token * static_cast<size_t>(args->query_heads) + head(row)) * width();
  }
  // This kv head's part of a prefix token's keys or values, [P, G, E].
  [[nodiscard]] const int16_t* constants(const int16_t* of_all, size_t token) const {
    return of_all + (token * static_cast<size_t>(args->kv_heads) + kv_head) * width();
  }
  [[nodiscard]] const uint8_t* page_keys(size_t page) const {
    const std::byte* base = args->pages[first_token][page] + args->key_offset;
    return reinterpret_cast<const uint8_t*>(base + kv_head * page_side_bytes(width()));
  }
  // A page's columns for split keys: the plane of high bytes, then that of low ones.
  [[nodiscard]] const uint8_t* page_columns(size_t page) const {
    return args->key_bias.columns + 2 * page * page_side_bytes(width());
  }
  // Whether its keys and values come from memory: one token's. Of many, the block before has left them in a cache.
  [[nodiscard]] bool reads_cold() const { return tokens == 1; }
  [[nodiscard]] bool splits() const { return args->key_bias.high != nullptr; }
  [[nodiscard]] const int8_t* page_values(size_t page) const {
    const std::byte* base = args->pages[first_token][page] + args->value_offset;
    return reinterpret_cast<const int8_t*>(base + kv_head * page_side_bytes(width()));
  }
};

// A block's scratch in the thread's workspace. Rows are padded by one cache line: row strides that are powers of two
// would fall into one cache set.
struct BlockScratch {
  size_t stride;    // elements from row to row of scores, and of probabilities
  int32_t* scores;  // [16, stride] a[s]; of split keys the bits of x[s]
  uint8_t* codes;   // [16, stride] p[s], 0 from the row's last key to the end of its page
  int32_t* sums;  // [16, E] sum_s p[s] v[s]; before that [16, 4 E bytes] coefficients of split keys, at least 128 a row
  std::byte* queries;  // [16, E] in the kernel's own form, up to 2 bytes an element, at least 64 a row
  std::byte* rest;     // 4 KB
  int32_t* bias_sums;  // [16, 64] c[s] of a page
};

// of_count: blocks that are played together have codes and sums one behind the other: those of the first are returned.
inline BlockScratch block_scratch(const QueryBlock& block, size_t of_count = 1) {
  const size_t width = block.width();
  const size_t stride = block.pages() * kPageTokens + 64;
  std::byte* at = block.args->workspace;
  BlockScratch scratch{};
  scratch.stride = stride;
  const auto take = [&at](size_t bytes) {
    std::byte* taken = at;
    at += bytes;
    return taken;
  };
  scratch.scores = reinterpret_cast<int32_t*>(take(kBlockRows * stride * sizeof(int32_t)));
  scratch.codes = reinterpret_cast<uint8_t*>(take(of_count * kBlockRows * stride));
  scratch.sums = reinterpret_cast<int32_t*>(take(of_count * kBlockRows * larger(width, 32) * sizeof(int32_t)));
  scratch.queries = take(kBlockRows * larger(width * sizeof(int16_t), 64));
  scratch.rest = take(size_t{4} << 10);
  scratch.bias_sums = reinterpret_cast<int32_t*>(at);
  return scratch;
}

// The block's rows of [T, H, E], [16, row_bytes] with zeros beyond the head's width.
inline void copy_rows(const QueryBlock& block, const int8_t* from, std::byte* to, size_t row_bytes) {
  for (size_t row = 0; row < block.rows(); row++, to += row_bytes) {
    __builtin_memcpy(to, from + block.element(row), block.width());
    __builtin_memset(to + block.width(), 0, row_bytes - block.width());
  }
}
inline void copy_queries(const QueryBlock& block, std::byte* queries, size_t row_bytes) {
  copy_rows(block, block.args->query, queries, row_bytes);
}

// The block's coefficients for split keys, both planes as copy_rows makes them.
struct BlockCoefficients {
  const std::byte* high;
  const std::byte* low;
};
inline BlockCoefficients copy_coefficients(const QueryBlock& block, const BlockScratch& scratch, size_t row_bytes) {
  auto* high = reinterpret_cast<std::byte*>(scratch.sums);
  std::byte* low = high + kBlockRows * row_bytes;
  copy_rows(block, block.args->key_bias.high, high, row_bytes);
  copy_rows(block, block.args->key_bias.low, low, row_bytes);
  return {high, low};
}

// The processor's own prefetcher does not see that the next page follows.
inline void prefetch_ahead(const void* at, size_t bytes) {
#pragma GCC unroll 4
  for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(static_cast<const std::byte*>(at) + i);
}

// The rows of one context that end before row `end`, at most 16.
inline size_t block_begin(const AttentionArgs& args, size_t end) {
  size_t begin = end - 1;
  while (begin > 0 && end - begin < kBlockRows && args.pages[begin - 1] == args.pages[end - 1]) begin--;
  return begin;
}

inline size_t count_blocks(const AttentionArgs& args) {
  size_t blocks = 0;
  for (size_t end = static_cast<size_t>(args.tokens); end > 0; end = block_begin(args, end)) blocks++;
  return blocks;
}

// Blocks are dealt to the threads to and fro (0 1 1 0 0 1 ...), the long ones first: causal work comes out even. One kv
// head after another, so that its keys and values stay in the cache from block to block. A head group is cut into
// several blocks where its rows are more than 16, or where there would be fewer blocks than threads. Calls
// attend(blocks, count) for up to `together` of many tokens' blocks with the same keys.
template <typename Attend>
void for_each_query_block(const AttentionArgs& args, Slice slice, size_t together, Attend attend) {
  const auto threads = static_cast<size_t>(slice.count);
  const auto index = static_cast<size_t>(slice.index);
  const auto kv_heads = static_cast<size_t>(args.kv_heads);
  const size_t group = static_cast<size_t>(args.query_heads) / kv_heads;
  const size_t groups = count_blocks(args) * kv_heads;
  const size_t wanted_cuts = smaller(group, (threads + groups - 1) / groups);
  size_t number = 0;
  for (size_t g = 0; g < kv_heads; g++) {
    for (size_t end = static_cast<size_t>(args.tokens), begin = 0; end > 0; end = begin) {
      begin = block_begin(args, end);
      size_t keys = 0;
      for (size_t t = begin; t < end; t++) keys = larger(keys, static_cast<size_t>(args.position[t]) + 1);
      const size_t most_heads = kBlockRows / (end - begin);
      const size_t cuts = larger(wanted_cuts, (group + most_heads - 1) / most_heads);
      const size_t step = end - begin == 1 ? 1 : together;
      for (size_t cut = 0; cut < cuts; cut += step, number++) {
        const size_t place = number % threads;
        if ((number / threads % 2 == 0 ? place : threads - 1 - place) != index) continue;
        QueryBlock blocks[kMostTogether];
        const size_t count = smaller(step, cuts - cut);
        for (size_t i = 0; i < count; i++) {
          const size_t from = group * (cut + i) / cuts;
          const size_t to = group * (cut + i + 1) / cuts;
          blocks[i] = {&args, g, begin, end - begin, g * group + from, to - from, keys};
        }
        attend(blocks, count);
      }
    }
  }
}

// The same, one at a time.
template <typename Attend>
void for_each_query_block(const AttentionArgs& args, Slice slice, Attend attend) {
  for_each_query_block(args, slice, 1, [attend](const QueryBlock* blocks, size_t) { attend(blocks[0]); });
}

}  // namespace
}  // namespace hotaru
