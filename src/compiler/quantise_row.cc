#include "compiler/quantise_row.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "compiler/int4_lanes.h"
#include "kernels/packed.h"

namespace hotaru {
namespace {

// Row scales tried: the one that just fits the row's widest group times these. Below one the widest group is clipped.
constexpr std::array<float, 14> kScaleFactors = {1.03F, 1.00F, 0.98F, 0.96F, 0.94F, 0.92F, 0.90F,
                                                 0.88F, 0.86F, 0.84F, 0.81F, 0.78F, 0.74F, 0.70F};
// A group's multiplier is searched from this share of the one that clips nothing.
constexpr float kNarrowest = 0.65F;
constexpr int kRefits = 3;

// A row with its importance and, per group, how far it reaches to both sides.
struct Row {
  std::span<const float> weights;
  std::span<const float> importance;  // [K]
  int group = 32;
  std::vector<float> highest;  // [groups], >= 0
  std::vector<float> lowest;   // [groups], <= 0

  [[nodiscard]] size_t groups() const { return highest.size(); }
};

struct Choice {
  float scale = 0;
  std::vector<uint8_t> multipliers;  // [groups]
  float error = 0;
};

// sum over the group of importance * (w - step * code)^2, in eight lanes.
float group_error(const Row& row, size_t index, float step) {
  const auto count = static_cast<size_t>(row.group);
  const float* w = row.weights.data() + index * count;
  const float* h = row.importance.data() + index * count;
  const float inverse = 1.0F / step;
  const auto errors = [&](size_t k) {
    const Floats weight = load_floats(w + k);
    const Floats difference = weight - nearest_code(weight * inverse) * step;
    return load_floats(h + k) * difference * difference;
  };
  Floats even = {};  // not an array: GCC 12 would keep it in memory
  Floats odd = {};
  for (size_t k = 0; k < count; k += 8) {
    even += errors(k);
    odd += errors(k + 4);
  }
  const Floats sum = even + odd;
  return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

// The smallest |step| that clips nothing of the group when steps have the sign of `scale`: codes reach -8 and 7.
float fitting_step(const Row& row, size_t index, bool is_negative) {
  const float up = is_negative ? -row.lowest[index] : row.highest[index];    // on positive codes
  const float down = is_negative ? row.highest[index] : -row.lowest[index];  // on negative codes
  return std::max(up / 7.0F, down / 8.0F);
}

// Best multipliers of all groups under one row scale.
Choice choose_multipliers(const Row& row, float scale) {
  Choice choice{scale, std::vector<uint8_t>(row.groups()), 0};
  for (size_t g = 0; g < row.groups(); g++) {
    const float fitting = fitting_step(row, g, scale < 0) / std::fabs(scale);
    if (fitting == 0) continue;
    const int last = std::clamp(static_cast<int>(std::ceil(fitting)), 1, kMaxMultiplier);
    const int first = std::clamp(static_cast<int>(fitting * kNarrowest), 1, last);
    float least = INFINITY;
    for (int m = first; m <= last; m++) {
      const float error = group_error(row, g, scale * static_cast<float>(m));
      if (error < least) {
        least = error;
        choice.multipliers[g] = static_cast<uint8_t>(m);
      }
    }
    choice.error += least;
  }
  return choice;
}

// The row scale of least error for given multipliers and the codes they give: sum h w (m q) / sum h (m q)^2.
float refit_scale(const Row& row, const Choice& choice) {
  double numerator = 0;
  double denominator = 0;
  for (size_t k = 0; k < row.weights.size(); k++) {
    const auto m = static_cast<float>(choice.multipliers[k / static_cast<size_t>(row.group)]);
    if (m == 0) continue;
    const double product = static_cast<double>(m * nearest_code(row.weights[k] * (1.0F / (choice.scale * m))));
    const double h = static_cast<double>(row.importance[k]);
    numerator += h * static_cast<double>(row.weights[k]) * product;
    denominator += h * product * product;
  }
  return denominator > 0 ? static_cast<float>(numerator / denominator) : choice.scale;
}

Row make_row(const Int4Search& search, std::span<const float> importance) {
  const auto count = static_cast<size_t>(search.group);
  Row row{search.weights, importance, search.group, {}, {}};
  for (size_t k = 0; k < search.weights.size(); k += count) {
    const auto group = search.weights.subspan(k, count);
    row.highest.push_back(std::max(0.0F, *std::max_element(group.begin(), group.end())));
    row.lowest.push_back(std::min(0.0F, *std::min_element(group.begin(), group.end())));
  }
  return row;
}

void write_codes(const Row& row, const Choice& choice, Int4Row& out) {
  out.scale = choice.scale;
  for (size_t k = 0; k < row.weights.size(); k++) {
    const uint8_t m = choice.multipliers[k / static_cast<size_t>(row.group)];
    out.multipliers[k / kGroupInputs] = m;
    const float code = m == 0 ? 0 : nearest_code(row.weights[k] * (1.0F / (choice.scale * static_cast<float>(m))));
    out.codes[k] = static_cast<int8_t>(code);
  }
}

void check_sizes(const Int4Search& search, const Int4Row& row) {
  CHECK(search.group == 32 || search.group == 64 || search.group == 128);
  CHECK_EQ(search.weights.size() % static_cast<size_t>(search.group), 0U);
  CHECK_EQ(row.codes.size(), search.weights.size());
  CHECK_EQ(row.multipliers.size() * kGroupInputs, search.weights.size());
  CHECK(search.importance.empty() || search.importance.size() == search.weights.size());
}

void write_zeros(Int4Row& row) {
  row.scale = 0;
  std::fill(row.codes.begin(), row.codes.end(), int8_t{0});
  std::fill(row.multipliers.begin(), row.multipliers.end(), uint8_t{0});
}

}  // namespace

void quantise_row_int4(const Int4Search& search, Int4Row& out) {
  check_sizes(search, out);
  const std::vector<float> ones(search.importance.empty() ? search.weights.size() : 0, 1.0F);
  const Row row = make_row(search, search.importance.empty() ? std::span<const float>(ones) : search.importance);
  Choice best;
  best.error = INFINITY;
  for (const float sign : {1.0F, -1.0F}) {
    float widest = 0;
    for (size_t g = 0; g < row.groups(); g++) widest = std::max(widest, fitting_step(row, g, sign < 0));
    if (widest / static_cast<float>(kMaxMultiplier) < 1e-30F) return write_zeros(out);
    for (const float factor : kScaleFactors) {
      Choice choice = choose_multipliers(row, sign * factor * widest / static_cast<float>(kMaxMultiplier));
      // The first is kept whatever its error: errors of weights beyond 1e19 overflow.
      if (best.multipliers.empty() || choice.error < best.error) best = std::move(choice);
    }
  }
  for (int i = 0; i < kRefits; i++) {
    const float scale = refit_scale(row, best);
    if (std::fabs(scale) < 1e-30F) break;
    Choice choice = choose_multipliers(row, scale);
    if (choice.error >= best.error) break;
    best = std::move(choice);
  }
  write_codes(row, best, out);
}

void quantise_row_int4_plain(const Int4Search& search, Int4Row& out) {
  check_sizes(search, out);
  const Row row = make_row(search, {});
  Choice choice{0, std::vector<uint8_t>(row.groups()), 0};
  const auto reach = [&row](size_t g) { return std::max(row.highest[g], -row.lowest[g]) / 7.0F; };
  for (size_t g = 0; g < row.groups(); g++) choice.scale = std::max(choice.scale, reach(g));
  if (choice.scale < 1e-30F) return write_zeros(out);
  choice.scale /= static_cast<float>(kMaxMultiplier);
  for (size_t g = 0; g < row.groups(); g++) {
    choice.multipliers[g] =
        static_cast<uint8_t>(std::min(std::ceil(reach(g) / choice.scale), static_cast<float>(kMaxMultiplier)));
  }
  write_codes(row, choice, out);
}

float quantise_row_int8(std::span<const float> weights, std::span<int8_t> codes) {
  float largest = 0;
  for (const float w : weights) largest = std::max(largest, std::fabs(w));
  const float scale = largest / 127.0F;
  const float inverse = scale > 1e-30F ? 1.0F / scale : 0.0F;
  for (size_t k = 0; k < weights.size(); k++) codes[k] = static_cast<int8_t>(nearest(weights[k] * inverse));
  return inverse > 0 ? scale : 0;
}

double squared_error(std::span<const float> weights, const Int4Row& row) {
  double sum = 0;
  for (size_t k = 0; k < weights.size(); k++) {
    const double step = static_cast<double>(row.scale) * row.multipliers[k / kGroupInputs];
    const double difference = static_cast<double>(weights[k]) - step * row.codes[k];
    sum += difference * difference;
  }
  return sum;
}

}  // namespace hotaru
