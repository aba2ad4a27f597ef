// The packed order of packed.h, value by value. Packing happens once, in the compiler; nothing here is on the token
// path.
#include "kernels/packed.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace hotaru {
namespace {

constexpr int kZeroCode = 8;  // the nibble of code 0

// Packs row `row` of its block into one group: codes[32], one multiplier.
void pack_group_row(const int8_t* codes, uint8_t multiplier, size_t row, uint8_t* group) {
  for (size_t k = 0; k < kGroupInputs; k++) {
    const auto nibble = static_cast<unsigned>(codes[k] + kZeroCode);
    const size_t byte = packed_int4_byte(row, k, kGroupInputs);
    group[byte] = static_cast<uint8_t>(group[byte] | nibble << packed_int4_shift(k));
  }
  group[kGroupCodeBytes + row] = multiplier;
}

}  // namespace

void pack_int4_blocks(const Int4Codes& matrix, size_t block_begin, size_t block_end, uint8_t* packed) {
  CHECK_EQ(matrix.inputs % kGroupInputs, size_t{0});
  static constexpr int8_t kZeroCodes[kGroupInputs] = {};
  const size_t groups = matrix.inputs / kGroupInputs;
  for (size_t block = block_begin; block < block_end; block++) {
    for (size_t g = 0; g < groups; g++) {
      uint8_t* group = packed + (block * groups + g) * kGroupBytes;
      std::memset(group, 0, kGroupBytes);
      for (size_t r = 0; r < kRowsPerBlock; r++) {
        const size_t row = block * kRowsPerBlock + r;
        const bool padding = row >= matrix.rows;
        pack_group_row(padding ? kZeroCodes : matrix.codes + row * matrix.inputs + g * kGroupInputs,
                       padding ? uint8_t{0} : matrix.multipliers[row * groups + g], r, group);
      }
    }
  }
}

void pack_int4(const int8_t* codes, const uint8_t* multipliers, size_t rows, size_t inputs, uint8_t* packed) {
  pack_int4_blocks({codes, multipliers, rows, inputs}, 0, padded_rows(rows) / kRowsPerBlock, packed);
}

void pack_int8(const int8_t* codes, size_t rows, size_t inputs, int8_t* packed) {
  CHECK_EQ(inputs % kInputsPerStep, size_t{0});
  if (rows == 0) return;
  std::fill_n(packed, packed_int8_bytes(rows, inputs), int8_t{0});
  for (size_t row = 0; row < rows; row++) {
    for (size_t k = 0; k < inputs; k += kInputsPerStep) {
      std::memcpy(packed + packed_int8_index(row, k, inputs), codes + row * inputs + k, kInputsPerStep);
    }
  }
}

void unpack_int4(const uint8_t* packed, size_t rows, size_t inputs, int8_t* codes, uint8_t* multipliers) {
  CHECK_EQ(inputs % kGroupInputs, size_t{0});
  const size_t groups = inputs / kGroupInputs;
  for (size_t row = 0; row < rows; row++) {
    for (size_t k = 0; k < inputs; k++) {
      const int nibble = packed[packed_int4_byte(row, k, inputs)] >> packed_int4_shift(k) & 15;
      codes[row * inputs + k] = static_cast<int8_t>(nibble - kZeroCode);
    }
    for (size_t g = 0; g < groups; g++) {
      multipliers[row * groups + g] = packed[packed_int4_multiplier(row, g, inputs)];
    }
  }
}

}  // namespace hotaru
