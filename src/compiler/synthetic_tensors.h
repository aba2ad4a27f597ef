// Tensors of a synthetic model, made when they are asked for: matrices are laid out from a few hundred random blocks of
// 16 rows and 32 inputs, whose row sums are known, at the speed of memcpy.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace hotaru {

class SyntheticTensors {
 public:
  explicit SyntheticTensors(uint64_t seed);

  // Each returns the tensor's id. `matrix` numbers the matrices: its row sums are those of the same number.
  struct Matrix {
    uint64_t number = 0;
    size_t rows = 0;
    size_t inputs = 0;
    bool is_int8 = false;
  };
  int add_matrix(const Matrix& matrix);
  int add_row_sums(const Matrix& matrix);
  int add_repeated(float value, size_t count);
  int add_values(std::vector<double> values);

  // Good until the next call.
  std::span<const std::byte> bytes(int id);

  // Standard deviation of multiplier times code (int8: of the code).
  static float deviation(bool is_int8);

 private:
  static constexpr size_t kPatterns = 256;
  struct Pattern {
    std::vector<uint8_t> bytes;
    std::array<int32_t, 16> row_sum{};
  };
  enum class Kind { kMatrix, kRowSums, kRepeated, kValues };
  struct Tensor {
    Kind kind = Kind::kRepeated;
    Matrix matrix;
    float value = 0;
    size_t count = 0;
    std::vector<double> values;
  };

  static Pattern int4_pattern(uint64_t seed, uint64_t number);
  static Pattern int8_pattern(uint64_t seed, uint64_t number);
  int add(Tensor tensor);
  template <typename Visit>
  void for_each_block(const Matrix& matrix, const Visit& visit) const;
  void write_matrix(const Matrix& matrix);
  void write_row_sums(const Matrix& matrix);
  template <typename T>
  void write(const std::vector<T>& values);

  uint64_t seed_;
  std::vector<Pattern> int4_, int8_;
  std::vector<Tensor> tensors_;
  std::vector<std::byte> buffer_;
};

}  // namespace hotaru
