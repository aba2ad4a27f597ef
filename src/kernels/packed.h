// The one packed order of matrices, read directly by every ISA: blocks of 16 output rows; inside a block, steps of 4
// consecutive inputs; a step holds its 4 inputs of row 0, then of row 1, ... : 64 values. It is the B tile of AMX, the
// dpbusd operand of VNNI, two maddubs operands of AVX2 and four sdot operands of NEON.
//
//   int8   [N/16][K/4][16 rows][4 inputs] s8
//   int4   [N/16][K/32] groups of 272 bytes: 256 bytes of codes, then 16 multipliers (u8, one per row)
//          The group's 8 steps s = 0..7: byte 64*i + j (i = 0..3, j = 0..63) holds in its low nibble value j of step 2i
//          and in its high nibble value j of step 2i+1. A nibble is code + 8 (0..15), code in [-8, 7].
//   key page    [64/16 key blocks][E/4][16 keys][4 channels] u8     (N = keys, K = head channels)
//   value page  [E/16 channel blocks][64/4][16 channels][4 keys] s8 (N = head channels, K = keys)
//
// Activations that only a linear of many tokens reads may lie in the order of AMX's A tiles:
//
//   token tiles [T/16][K/64][16 tokens][64 inputs] u8               T and K padded
//
// N is padded to a multiple of 16 with zero codes (nibble 8, multiplier 0); K must be a multiple of 32 (int4) or 4
// (int8).
#pragma once

#include <cstddef>
#include <cstdint>

namespace hotaru {

inline constexpr int kRowsPerBlock = 16;
inline constexpr int kInputsPerStep = 4;
inline constexpr int kGroupInputs = 32;
inline constexpr int kGroupCodeBytes = kRowsPerBlock * kGroupInputs / 2;  // 256
inline constexpr int kGroupBytes = kGroupCodeBytes + kRowsPerBlock;       // 272
inline constexpr int kMaxMultiplier = 15;
inline constexpr int kPageTokens = 64;
inline constexpr size_t kTileTokens = 16;
inline constexpr size_t kTileInputs = 64;
inline constexpr size_t kTileBytes = kTileTokens * kTileInputs;

constexpr size_t padded_rows(size_t rows) { return (rows + kRowsPerBlock - 1) / kRowsPerBlock * kRowsPerBlock; }
constexpr size_t packed_int4_bytes(size_t rows, size_t inputs) {
  return padded_rows(rows) / kRowsPerBlock * (inputs / kGroupInputs) * kGroupBytes;
}
constexpr size_t packed_int8_bytes(size_t rows, size_t inputs) { return padded_rows(rows) * inputs; }
// One kv head's keys (or values) of one page.
constexpr size_t page_side_bytes(size_t head_width) { return head_width * kPageTokens; }

// Byte of (row, input) in a packed int8 matrix.
constexpr size_t packed_int8_index(size_t row, size_t input, size_t inputs) {
  return (row / kRowsPerBlock) * kRowsPerBlock * inputs + (input / kInputsPerStep) * 64 +
         (row % kRowsPerBlock) * kInputsPerStep + input % kInputsPerStep;
}
// Byte and bit of the nibble of (row, input) in a packed int4 matrix; byte of the multiplier of (row, group).
constexpr size_t packed_int4_group(size_t row, size_t group, size_t inputs) {
  return (row / kRowsPerBlock * (inputs / kGroupInputs) + group) * kGroupBytes;
}
constexpr size_t packed_int4_byte(size_t row, size_t input, size_t inputs) {
  const size_t step = input % kGroupInputs / kInputsPerStep;
  return packed_int4_group(row, input / kGroupInputs, inputs) + step / 2 * 64 + row % kRowsPerBlock * kInputsPerStep +
         input % kInputsPerStep;
}
constexpr unsigned packed_int4_shift(size_t input) { return static_cast<unsigned>(input / kInputsPerStep % 2 * 4); }
constexpr size_t packed_int4_multiplier(size_t row, size_t group, size_t inputs) {
  return packed_int4_group(row, group, inputs) + kGroupCodeBytes + row % kRowsPerBlock;
}
// Byte of (key, channel) in a key page, and of (key, channel) in a value page.
constexpr size_t key_page_index(size_t key, size_t channel, size_t head_width) {
  return packed_int8_index(key, channel, head_width);
}
constexpr size_t value_page_index(size_t key, size_t channel) { return packed_int8_index(channel, key, kPageTokens); }

constexpr size_t padded_tokens(size_t tokens) { return (tokens + kTileTokens - 1) / kTileTokens * kTileTokens; }
// Byte of (token, input) in token tiles.
constexpr size_t token_tile_index(size_t token, size_t input, size_t inputs) {
  return (token / kTileTokens * ((inputs + kTileInputs - 1) / kTileInputs) + input / kTileInputs) * kTileBytes +
         token % kTileTokens * kTileInputs + input % kTileInputs;
}

// Packs row-major weights (in the compiler; tests). `codes` [rows, inputs] in [-8, 7]; `multipliers` [rows, inputs/32]
// <= 15.
void pack_int4(const int8_t* codes, const uint8_t* multipliers, size_t rows, size_t inputs, uint8_t* packed);
void pack_int8(const int8_t* codes, size_t rows, size_t inputs, int8_t* packed);
// Packs only the blocks [block_begin, block_end) into their place in `packed`: for packing in parallel.
struct Int4Codes {
  const int8_t* codes;
  const uint8_t* multipliers;
  size_t rows, inputs;
};
void pack_int4_blocks(const Int4Codes& matrix, size_t block_begin, size_t block_end, uint8_t* packed);
// The way back (inspection, tests).
void unpack_int4(const uint8_t* packed, size_t rows, size_t inputs, int8_t* codes, uint8_t* multipliers);

}  // namespace hotaru
