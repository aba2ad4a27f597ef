// Orthogonal matrices that are fast to multiply with: Q = D (H_K (x) Sylvester_{2^m}) / sqrt(n), n = K 2^m, D random
// signs. H_K is a Hadamard matrix by Paley's constructions I and II over a prime field; where n has none, a random
// orthogonal matrix takes its place. The same (n, seed) gives the same Q on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace hotaru {

class Rotation {
 public:
  // n without a small enough K: not supported.
  static Result<Rotation> create(size_t n, uint64_t seed);

  [[nodiscard]] size_t size() const { return factors_.size(); }
  [[nodiscard]] size_t order() const { return order_; }  // K
  // All entries have the size 1 / sqrt(n).
  [[nodiscard]] bool is_hadamard() const { return is_hadamard_; }

  // Matrices are row-major. Every run of n neighbours of a row is turned: W <- W Q, with blocks W <- W (I (x) Q).
  void rotate_columns(std::span<double> matrix) const;
  // Every run of n neighbours of a column: W <- Q^T W. The same turn: (W^T Q)^T.
  void rotate_rows(size_t columns, std::span<double> matrix) const;
  // Undoes rotate_columns: W <- W Q^T.
  void rotate_columns_back(std::span<double> matrix) const;

 private:
  Rotation() = default;
  void turn(std::span<double> tile) const;
  void turn_back(std::span<double> tile) const;
  void scale(std::span<double> tile) const;

  size_t order_ = 1;
  bool is_hadamard_ = true;
  std::vector<double> factors_;    // [n]: D and the scale that makes Q orthogonal
  std::vector<double> core_;       // [K, K]; empty: K = 1
  std::vector<double> core_back_;  // its transpose
};

}  // namespace hotaru
