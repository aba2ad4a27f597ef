#include "compiler/synthetic_tensors.h"

#include <cstring>

#include "kernels/packed.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

constexpr size_t kCodes = size_t{kRowsPerBlock} * kGroupInputs;
// Streams of the generator: patterns first, then one for each matrix.
constexpr uint64_t kFirstMatrixStream = 1 << 16;

}  // namespace

SyntheticTensors::SyntheticTensors(uint64_t seed) : seed_(seed) {
  for (uint64_t i = 0; i < kPatterns; i++) {
    int4_.push_back(int4_pattern(seed, i));
    int8_.push_back(int8_pattern(seed, i));
  }
}

float SyntheticTensors::deviation(bool is_int8) { return is_int8 ? 73.6F : 4.32F * 12.2F; }

// Codes uniform on [-7, 7], multipliers on [9, 15].
SyntheticTensors::Pattern SyntheticTensors::int4_pattern(uint64_t seed, uint64_t number) {
  Random random(seed, 2 * number);
  std::vector<int8_t> codes(kCodes);
  std::vector<uint8_t> multipliers(kRowsPerBlock);
  for (auto& code : codes) code = static_cast<int8_t>(static_cast<int>(random.next_below(15)) - 7);
  for (auto& multiplier : multipliers) multiplier = static_cast<uint8_t>(9 + random.next_below(7));
  Pattern pattern{std::vector<uint8_t>(kGroupBytes)};
  pack_int4(codes.data(), multipliers.data(), kRowsPerBlock, kGroupInputs, pattern.bytes.data());
  for (size_t i = 0; i < kCodes; i++) {
    pattern.row_sum[i / kGroupInputs] += codes[i] * multipliers[i / kGroupInputs];
  }
  return pattern;
}

// Codes uniform on [-127, 127].
SyntheticTensors::Pattern SyntheticTensors::int8_pattern(uint64_t seed, uint64_t number) {
  Random random(seed, 2 * number + 1);
  Pattern pattern{std::vector<uint8_t>(kCodes)};
  for (size_t i = 0; i < kCodes; i++) {
    const int code = static_cast<int>(random.next_below(255)) - 127;
    pattern.bytes[packed_int8_index(i / kGroupInputs, i % kGroupInputs, kGroupInputs)] = static_cast<uint8_t>(code);
    pattern.row_sum[i / kGroupInputs] += code;
  }
  return pattern;
}

int SyntheticTensors::add(Tensor tensor) {
  tensors_.push_back(std::move(tensor));
  return static_cast<int>(tensors_.size()) - 1;
}
int SyntheticTensors::add_matrix(const Matrix& matrix) { return add({Kind::kMatrix, matrix, 0, 0, {}}); }
int SyntheticTensors::add_row_sums(const Matrix& matrix) { return add({Kind::kRowSums, matrix, 0, 0, {}}); }
int SyntheticTensors::add_repeated(float value, size_t count) { return add({Kind::kRepeated, {}, value, count, {}}); }
int SyntheticTensors::add_values(std::vector<double> values) {
  return add({Kind::kValues, {}, 0, 0, std::move(values)});
}

// In packed order; both layouts hold the 32 inputs of a block one after the other.
template <typename Visit>
void SyntheticTensors::for_each_block(const Matrix& matrix, const Visit& visit) const {
  const std::vector<Pattern>& patterns = matrix.is_int8 ? int8_ : int4_;
  Random random(seed_, kFirstMatrixStream + matrix.number);
  for (size_t block = 0; block < padded_rows(matrix.rows) / kRowsPerBlock; block++) {
    for (size_t group = 0; group < matrix.inputs / kGroupInputs; group++) {
      visit(block, patterns[random.next_u32() % kPatterns]);
    }
  }
}

void SyntheticTensors::write_matrix(const Matrix& matrix) {
  buffer_.resize(matrix.is_int8 ? packed_int8_bytes(matrix.rows, matrix.inputs)
                                : packed_int4_bytes(matrix.rows, matrix.inputs));
  size_t offset = 0;
  for_each_block(matrix, [&](size_t, const Pattern& pattern) {
    std::memcpy(buffer_.data() + offset, pattern.bytes.data(), pattern.bytes.size());
    offset += pattern.bytes.size();
  });
}

void SyntheticTensors::write_row_sums(const Matrix& matrix) {
  std::vector<int32_t> sums(padded_rows(matrix.rows));
  for_each_block(matrix, [&](size_t block, const Pattern& pattern) {
    for (size_t row = 0; row < kRowsPerBlock; row++) sums[block * kRowsPerBlock + row] += pattern.row_sum[row];
  });
  sums.resize(matrix.rows);
  write(sums);
}

template <typename T>
void SyntheticTensors::write(const std::vector<T>& values) {
  buffer_.resize(values.size() * sizeof(T));
  std::memcpy(buffer_.data(), values.data(), buffer_.size());
}

std::span<const std::byte> SyntheticTensors::bytes(int id) {
  const Tensor& tensor = tensors_[static_cast<size_t>(id)];
  switch (tensor.kind) {
    case Kind::kMatrix:
      write_matrix(tensor.matrix);
      break;
    case Kind::kRowSums:
      write_row_sums(tensor.matrix);
      break;
    case Kind::kRepeated:
      write(std::vector<float>(tensor.count, tensor.value));
      break;
    case Kind::kValues:
      write(tensor.values);
      break;
  }
  return buffer_;
}

}  // namespace hotaru
