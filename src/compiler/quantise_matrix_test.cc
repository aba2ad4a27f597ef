#include "compiler/quantise_matrix.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "kernels/packed.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

constexpr size_t kRows = 41;  // the last block of 16 is not full
constexpr size_t kInputs = 96;

std::vector<float> normal_weights() {
  Random random(9);
  std::vector<float> weights(kRows * kInputs);
  for (float& w : weights) w = 0.05F * random.next_normal();
  std::fill(weights.begin() + 7 * kInputs, weights.begin() + 8 * kInputs, 0.0F);
  return weights;
}

double sqnr_db(const std::vector<float>& a, const std::vector<float>& b) {
  double power = 0;
  double error = 0;
  for (size_t i = 0; i < a.size(); i++) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    power += static_cast<double>(a[i]) * static_cast<double>(a[i]);
    error += difference * difference;
  }
  return 10 * std::log10(power / error);
}

TEST(QuantiseMatrix, TheSameBytesWhateverTheThreads) {
  const std::vector<float> weights = normal_weights();
  ThreadPool one(1);
  const auto int4 = quantise_matrix_int4({weights, kRows, kInputs}, {}, 32, one);
  const auto int8 = quantise_matrix_int8({weights, kRows, kInputs}, one);
  for (const int threads : {2, 3, 7}) {
    ThreadPool many(threads);
    const auto other4 = quantise_matrix_int4({weights, kRows, kInputs}, {}, 32, many);
    EXPECT_EQ(int4.packed, other4.packed);
    EXPECT_EQ(int4.row_scale, other4.row_scale);
    EXPECT_EQ(int4.sqnr_db, other4.sqnr_db);
    const auto other8 = quantise_matrix_int8({weights, kRows, kInputs}, many);
    EXPECT_EQ(int8.packed, other8.packed);
    EXPECT_EQ(int8.row_sum, other8.row_sum);
  }
}

TEST(QuantiseMatrix, StoredCodesStandForTheWeights) {
  const std::vector<float> weights = normal_weights();
  ThreadPool pool(1);
  const auto int4 = quantise_matrix_int4({weights, kRows, kInputs}, {}, 32, pool);
  const double found = sqnr_db(weights, dequantise_int4(int4.packed, int4.row_scale, kInputs));
  EXPECT_NEAR(found, int4.sqnr_db, 0.01);
  EXPECT_GT(found, 20.5);
  EXPECT_EQ(int4.row_scale[7], 0.0F);

  const auto int8 = quantise_matrix_int8({weights, kRows, kInputs}, pool);
  const auto* codes = reinterpret_cast<const int8_t*>(int8.packed.data());
  const double found8 = sqnr_db(weights, dequantise_int8({codes, int8.packed.size()}, int8.row_scale, kInputs));
  EXPECT_NEAR(found8, int8.sqnr_db, 0.01);
  EXPECT_GT(found8, 40);
}

// The device's offset is -zero_point * row_sum: it must be the sum of exactly the packed codes.
TEST(QuantiseMatrix, RowSumsAreThoseOfThePackedCodes) {
  const std::vector<float> weights = normal_weights();
  ThreadPool pool(2);
  const auto int4 = quantise_matrix_int4({weights, kRows, kInputs}, {}, 32, pool);
  std::vector<int8_t> codes(kRows * kInputs);
  std::vector<uint8_t> multipliers(kRows * kInputs / 32);
  unpack_int4(int4.packed.data(), kRows, kInputs, codes.data(), multipliers.data());
  for (size_t n = 0; n < kRows; n++) {
    int32_t sum = 0;
    for (size_t k = 0; k < kInputs; k++) sum += codes[n * kInputs + k] * multipliers[(n * kInputs + k) / 32];
    EXPECT_EQ(sum, int4.row_sum[n]) << "row " << n;
  }
  const auto int8 = quantise_matrix_int8({weights, kRows, kInputs}, pool);
  for (size_t n = 0; n < kRows; n++) {
    int32_t sum = 0;
    for (size_t k = 0; k < kInputs; k++) sum += static_cast<int8_t>(int8.packed[packed_int8_index(n, k, kInputs)]);
    EXPECT_EQ(sum, int8.row_sum[n]) << "row " << n;
  }
}

}  // namespace
}  // namespace hotaru
