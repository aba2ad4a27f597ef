#include "compiler/rotation.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/check.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

// Vectors turned side by side: [n, kLanes] tiles, so that every step is over neighbours.
constexpr size_t kLanes = 8;
// A core [K, K] of 32 MiB; also the most multiplications an element costs.
constexpr size_t kMostOrder = 2048;

enum class Core { kNone, kOne, kPaley1, kPaley2, kRandom };

bool is_prime(size_t q) {
  if (q < 2) return false;
  for (size_t divisor = 2; divisor * divisor <= q; divisor++) {
    if (q % divisor == 0) return false;
  }
  return true;
}

// The Hadamard matrix of order K, if one of the constructions has it.
Core hadamard_core(size_t order) {
  if (order == 1) return Core::kOne;
  if (order % 4 != 0 || order > kMostOrder) return Core::kNone;
  if (is_prime(order - 1)) return Core::kPaley1;  // K = q + 1, q = 3 mod 4
  const size_t q = order / 2 - 1;                 // K = 2 (q + 1), q = 1 mod 4
  return q % 4 == 1 && is_prime(q) ? Core::kPaley2 : Core::kNone;
}

// Jacobsthal's matrix of the field of q elements with a border: c[0, j] = 1, c[i, 0] = corner,
// c[i, j] = 1 or -1 as i - j is a square or not, 0 on the diagonal.
std::vector<double> conference_matrix(size_t q, double corner) {
  std::vector<double> character(q, -1);
  character[0] = 0;
  for (size_t x = 1; x < q; x++) character[x * x % q] = 1;
  const size_t n = q + 1;
  std::vector<double> matrix(n * n);
  for (size_t i = 0; i < q; i++) {
    matrix[i + 1] = 1;
    matrix[(i + 1) * n] = corner;
    for (size_t j = 0; j < q; j++) matrix[(i + 1) * n + j + 1] = character[(i + q - j) % q];
  }
  return matrix;
}

// I + S, S skew.
std::vector<double> paley1(size_t order) {
  std::vector<double> matrix = conference_matrix(order - 1, -1);
  for (size_t i = 0; i < order; i++) matrix[i * order + i] += 1;
  return matrix;
}

// Every entry of a symmetric conference matrix becomes 2 x 2: 0 -> [1 -1; -1 -1], x -> x [1 1; 1 -1].
std::vector<double> paley2(size_t order) {
  const size_t half = order / 2;
  const std::vector<double> conference = conference_matrix(half - 1, 1);
  std::vector<double> matrix(order * order);
  for (size_t i = 0; i < half; i++) {
    for (size_t j = 0; j < half; j++) {
      const double x = conference[i * half + j];
      double* block = matrix.data() + 2 * i * order + 2 * j;
      block[0] = i == j ? 1 : x;
      block[1] = i == j ? -1 : x;
      block[order] = i == j ? -1 : x;
      block[order + 1] = i == j ? -1 : -x;
    }
  }
  return matrix;
}

// A product of Householder reflections of random directions in spaces that shrink: uniform over the orthogonal matrices
// up to signs, as the Q of a random matrix's QR is (Stewart 1980).
std::vector<double> random_orthogonal(size_t order, uint64_t seed) {
  std::vector<double> matrix(order * order);
  for (size_t i = 0; i < order; i++) matrix[i * order + i] = 1;
  Random random(seed, 1);
  std::vector<double> direction(order);
  for (size_t first = 0; first + 1 < order; first++) {
    double power = 0;
    for (size_t i = first; i < order; i++) {
      direction[i] = static_cast<double>(random.next_normal());
      power += direction[i] * direction[i];
    }
    if (power == 0) continue;
    for (size_t row = 0; row < order; row++) {
      double* x = matrix.data() + row * order;
      double along = 0;
      for (size_t i = first; i < order; i++) along += x[i] * direction[i];
      for (size_t i = first; i < order; i++) x[i] -= 2 * along / power * direction[i];
    }
  }
  return matrix;
}

std::vector<double> make_core(Core core, size_t order, uint64_t seed) {
  switch (core) {
    case Core::kPaley1:
      return paley1(order);
    case Core::kPaley2:
      return paley2(order);
    case Core::kRandom:
      return random_orthogonal(order, seed);
    default:
      return {};
  }
}

std::vector<double> transposed(const std::vector<double>& matrix, size_t order) {
  std::vector<double> result(matrix.size());
  for (size_t i = 0; i < matrix.size(); i++) result[i % order * order + i / order] = matrix[i];
  return result;
}

// y[b, l] = sum_a x[a, l] * core[a, b] for each of n / K groups of K rows that lie n / K apart.
void multiply(const std::vector<double>& core, size_t order, std::span<double> tile) {
  const size_t step = tile.size() / order;  // between rows of a group
  std::vector<double> rows(order * kLanes);
  for (size_t first = 0; first < step; first += kLanes) {
    for (size_t a = 0; a < order; a++) std::copy_n(tile.data() + a * step + first, kLanes, rows.data() + a * kLanes);
    for (size_t b = 0; b < order; b++) {
      std::array<double, kLanes> sum{};
      for (size_t a = 0; a < order; a++) {
        const double factor = core[a * order + b];
        for (size_t l = 0; l < kLanes; l++) sum[l] += rows[a * kLanes + l] * factor;
      }
      std::copy(sum.begin(), sum.end(), tile.data() + b * step + first);
    }
  }
}

// Every run of `width` rows of the tile times Sylvester's matrix of that order: butterflies.
void sylvester(std::span<double> tile, size_t width) {
  for (size_t half = 1; half < width; half *= 2) {
    const size_t reach = half * kLanes;
    for (size_t first = 0; first < tile.size(); first += 2 * reach) {
      double* low = tile.data() + first;
      double* high = low + reach;
      for (size_t i = 0; i < reach; i++) {
        const double sum = low[i] + high[i];
        high[i] = low[i] - high[i];
        low[i] = sum;
      }
    }
  }
}

// Element i of vector v lies at first[v * vector_step + i * element_step].
struct Vectors {
  double* first;
  size_t count;
  size_t vector_step;
  size_t element_step;
};

// Takes kLanes vectors of n elements at a time into a tile, turns it and puts it back.
template <typename Turn>
void turn_tiles(const Vectors& vectors, size_t n, const Turn& turn) {
  std::vector<double> tile(n * kLanes);
  for (size_t v = 0; v < vectors.count; v += kLanes) {
    const size_t lanes = std::min(kLanes, vectors.count - v);
    double* corner = vectors.first + v * vectors.vector_step;
    for (size_t i = 0; i < n; i++) {
      for (size_t l = 0; l < lanes; l++) {
        tile[i * kLanes + l] = corner[l * vectors.vector_step + i * vectors.element_step];
      }
    }
    turn(std::span(tile));
    for (size_t i = 0; i < n; i++) {
      for (size_t l = 0; l < lanes; l++) {
        corner[l * vectors.vector_step + i * vectors.element_step] = tile[i * kLanes + l];
      }
    }
  }
}

}  // namespace

Result<Rotation> Rotation::create(size_t n, uint64_t seed) {
  CHECK_GT(n, size_t{0});
  Rotation rotation;
  Core core = Core::kNone;
  for (size_t power = n & (~n + 1); power > 0 && core == Core::kNone; power /= 2) {
    rotation.order_ = n / power;
    core = hadamard_core(rotation.order_);
  }
  if (core == Core::kNone) {
    rotation.order_ = n / (n & (~n + 1));
    rotation.is_hadamard_ = false;
    core = Core::kRandom;
  }
  if (rotation.order_ > kMostOrder) {
    return not_supported("rotation of width {}: its odd part is {}, want at most {}", n, rotation.order_, kMostOrder);
  }
  rotation.core_ = make_core(core, rotation.order_, seed);
  rotation.core_back_ = transposed(rotation.core_, rotation.order_);
  // A random core has columns of length one already.
  const size_t square = rotation.is_hadamard_ ? n : n / rotation.order_;
  const double scale = 1 / std::sqrt(static_cast<double>(square));
  Random random(seed);
  rotation.factors_.resize(n);
  for (double& factor : rotation.factors_) factor = (random.next_u32() & 1) == 0 ? scale : -scale;
  return rotation;
}

void Rotation::rotate_columns(std::span<double> matrix) const {
  CHECK_EQ(matrix.size() % size(), size_t{0});
  turn_tiles({matrix.data(), matrix.size() / size(), size(), 1}, size(), [this](auto tile) { turn(tile); });
}

void Rotation::rotate_columns_back(std::span<double> matrix) const {
  CHECK_EQ(matrix.size() % size(), size_t{0});
  turn_tiles({matrix.data(), matrix.size() / size(), size(), 1}, size(), [this](auto tile) { turn_back(tile); });
}

void Rotation::rotate_rows(size_t columns, std::span<double> matrix) const {
  CHECK_EQ(matrix.size() % (size() * columns), size_t{0});
  const size_t block = size() * columns;
  for (size_t first = 0; first < matrix.size(); first += block) {
    turn_tiles({matrix.data() + first, columns, 1, columns}, size(), [this](auto tile) { turn(tile); });
  }
}

void Rotation::turn(std::span<double> tile) const {
  scale(tile);
  if (!core_.empty()) multiply(core_, order_, tile);
  sylvester(tile, size() / order_);
}

void Rotation::turn_back(std::span<double> tile) const {
  sylvester(tile, size() / order_);
  if (!core_.empty()) multiply(core_back_, order_, tile);
  scale(tile);
}

void Rotation::scale(std::span<double> tile) const {
  for (size_t i = 0; i < factors_.size(); i++) {
    for (size_t l = 0; l < kLanes; l++) tile[i * kLanes + l] *= factors_[i];
  }
}

}  // namespace hotaru
