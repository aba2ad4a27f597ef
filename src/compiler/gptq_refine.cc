#include "compiler/gptq_refine.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "compiler/blas.h"
#include "compiler/cholesky.h"
#include "compiler/gptq_round.h"
#include "kernels/packed.h"

namespace hotaru {
namespace {

constexpr size_t kBlock = 128;
constexpr int kMostSweeps = 8;  // of single codes within a group
// A change must win by more than rounding could feign.
constexpr float kWorthwhile = 1e-5F;

// A group of columns with its part of A: whole, and factorised.
struct LocalGroup {
  size_t first = 0;
  size_t width = 0;
  std::vector<float> moments;  // [width, width] damped
  std::vector<float> unit;     // [width, width] U above the diagonal
  GroupFactor factor;
};

// Nothing where that part alone is not positive definite for rounding's sake.
std::optional<LocalGroup> make_local(const RefineProblem& problem, size_t inputs, size_t first) {
  const auto width = static_cast<size_t>(problem.group);
  LocalGroup group{first, width, std::vector<float>(width * width), std::vector<float>(width * width), {}};
  std::vector<double> root(width * width);
  for (size_t i = 0; i < width; i++) {
    for (size_t j = 0; j < width; j++) {
      const auto value = static_cast<double>(problem.moments[(first + i) * inputs + first + j]);
      root[i * width + j] = i == j ? value + static_cast<double>(problem.ridge) : value;
      group.moments[i * width + j] = static_cast<float>(root[i * width + j]);
    }
  }
  if (!factorise_upper(root.data(), width, width)) return std::nullopt;
  std::vector<float> pivot(width);
  for (size_t j = 0; j < width; j++) {
    const double diagonal = root[j * width + j];
    pivot[j] = static_cast<float>(diagonal * diagonal);
    for (size_t i = 0; i < j; i++) group.unit[i * width + j] = static_cast<float>(root[i * width + j] / diagonal);
  }
  group.factor = take_group(group.unit.data(), width, pivot.data(), width);
  return group;
}

// One row's group while it is being improved.
struct GroupState {
  float scale = 0;
  uint8_t multiplier = 0;
  float codes[kMostGroup];
  float gradient[kMostGroup];  // of half the error by -q: ((w* - q) A)_j
};

// Rounds the whole group anew with every multiplier; keeps the best if it beats the present codes.
bool round_anew(const LocalGroup& group, GroupState& state) {
  const size_t width = group.width;
  const float step = state.scale * static_cast<float>(state.multiplier);
  float drift[kMostGroup];
  float present[kMostGroup];
  float loss = 0;
  // D U^T (new - old) = U^-1 gradient would take the group to its least error, were there no rounding.
  for (size_t j = width; j-- > 0;) {
    float sum = state.gradient[j];
    for (size_t i = j + 1; i < width; i++) sum -= group.unit[j * width + i] * drift[i];
    drift[j] = sum;
  }
  for (size_t j = 0; j < width; j++) {
    const float pivot = group.factor.pivot[j];
    drift[j] /= pivot;
    loss += pivot * drift[j] * drift[j];
    present[j] = step * state.codes[j];
  }
  float codes[kMostGroup];
  float change[kMostGroup];  // present - new
  const GroupChoice choice = round_group(group.factor, {present, drift, state.scale}, codes, change);
  if (!(choice.loss < loss * (1 - kWorthwhile))) return false;
  state.multiplier = choice.multiplier;
  std::copy_n(codes, width, state.codes);
  for (size_t i = 0; i < width; i++) {
    if (change[i] == 0) continue;
    for (size_t j = 0; j < width; j++) state.gradient[j] += change[i] * group.moments[i * width + j];
  }
  return true;
}

// Moves single codes by one while that lowers the error: by 2 step |g_k| - step^2 A_kk.
bool step_codes(const LocalGroup& group, GroupState& state) {
  const size_t width = group.width;
  const float step = state.scale * static_cast<float>(state.multiplier);
  if (step == 0) return false;
  bool any = false;
  for (int sweep = 0; sweep < kMostSweeps; sweep++) {
    bool moved = false;
    for (size_t k = 0; k < width; k++) {
      const float cost = std::fabs(step) * group.moments[k * width + k];
      if (!(2 * std::fabs(state.gradient[k]) > cost * (1 + kWorthwhile))) continue;
      const float direction = (state.gradient[k] > 0) == (step > 0) ? 1.0F : -1.0F;
      const float code = state.codes[k] + direction;
      if (code < -8 || code > 7) continue;
      state.codes[k] = code;
      const float change = step * direction;
      for (size_t j = 0; j < width; j++) state.gradient[j] -= change * group.moments[k * width + j];
      moved = true;
    }
    if (!moved) break;
    any = true;
  }
  return any;
}

class Refinement {
 public:
  Refinement(const RefineProblem& problem, RowTile tile, Int4Matrix& codes)
      : problem_(problem),
        inputs_(codes.inputs),
        tile_(tile),
        codes_(codes),
        gradient_(tile.count * inputs_),
        steps_(inputs_),
        change_(tile.count * kBlock) {}

  void run() {
    take_product();
    for (int pass = 0; pass < problem_.passes; pass++) {
      turn_to_gradient();
      descend();
      turn_to_product();
    }
    if (problem_.refit) turn_to_gradient();
  }

 private:
  // m q of a row.
  void take_steps(size_t index) {
    const Int4Row row = codes_.row(tile_.first + index);
    for (size_t k = 0; k < inputs_; k++)
      steps_[k] = static_cast<float>(row.codes[k] * row.multipliers[k / kGroupInputs]);
  }

  // gradient_ <- (m q) A
  void take_product() {
    std::vector<float> steps(gradient_.size());
    for (size_t i = 0; i < tile_.count; i++) {
      take_steps(i);
      std::copy(steps_.begin(), steps_.end(), &steps[i * inputs_]);
    }
    gradient_ = steps;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas_int(tile_.count), blas_int(inputs_), blas_int(inputs_),
                1.0F, steps.data(), blas_int(inputs_), problem_.moments.data(), blas_int(inputs_), problem_.ridge,
                gradient_.data(), blas_int(inputs_));
  }

  // Row scales, if wanted; gradient_: (m q) A -> w* A - q A
  void turn_to_gradient() {
    for (size_t i = 0; i < tile_.count; i++) {
      const float* target = &problem_.target[i * inputs_];
      float* gradient = &gradient_[i * inputs_];
      float& scale = codes_.row_scale[tile_.first + i];
      if (problem_.refit) {
        take_steps(i);
        scale = refit(steps_.data(), target, gradient, scale);
      }
      for (size_t k = 0; k < inputs_; k++) gradient[k] = target[k] - scale * gradient[k];
    }
  }

  // gradient_: w* A - q A, which descend() keeps true, -> (m q) A
  void turn_to_product() {
    for (size_t i = 0; i < tile_.count; i++) {
      const float* target = &problem_.target[i * inputs_];
      float* gradient = &gradient_[i * inputs_];
      const float scale = codes_.row_scale[tile_.first + i];
      const float inverse = scale == 0 ? 0.0F : 1.0F / scale;
      for (size_t k = 0; k < inputs_; k++) gradient[k] = (target[k] - gradient[k]) * inverse;
    }
  }

  // s = (m q) A w*^T / (m q) A (m q)^T
  float refit(const float* steps, const float* target, const float* product, float scale) const {
    double numerator = 0;
    double denominator = 0;
    for (size_t k = 0; k < inputs_; k++) {
      numerator += static_cast<double>(steps[k]) * static_cast<double>(target[k]);
      denominator += static_cast<double>(steps[k]) * static_cast<double>(product[k]);
    }
    const auto found = static_cast<float>(numerator / denominator);
    return denominator > 0 && std::isfinite(found) && std::fabs(found) > 1e-30F ? found : scale;
  }

  void descend() {
    for (size_t block = 0; block < inputs_; block += kBlock) {
      const size_t end = std::min(inputs_, block + kBlock);
      std::fill(change_.begin(), change_.end(), 0.0F);
      for (size_t first = block; first < end; first += static_cast<size_t>(problem_.group)) improve_group(block, first);
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas_int(tile_.count), blas_int(inputs_),
                  blas_int(end - block), -1.0F, change_.data(), blas_int(kBlock), &problem_.moments[block * inputs_],
                  blas_int(inputs_), 1.0F, gradient_.data(), blas_int(inputs_));
      for (size_t i = 0; i < tile_.count; i++) {
        for (size_t k = block; k < end; k++)
          gradient_[i * inputs_ + k] -= problem_.ridge * change_[i * kBlock + k - block];
      }
    }
  }

  // Groups of the block that have changed already reach this one's gradient here, other columns at the block's end.
  void improve_group(size_t block, size_t first) {
    const std::optional<LocalGroup> local = make_local(problem_, inputs_, first);
    if (!local) return;
    const LocalGroup& group = *local;
    std::vector<float> gradient(tile_.count * group.width);
    for (size_t i = 0; i < tile_.count; i++) {
      std::copy_n(&gradient_[i * inputs_ + first], group.width, &gradient[i * group.width]);
    }
    if (first > block) {
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas_int(tile_.count), blas_int(group.width),
                  blas_int(first - block), -1.0F, change_.data(), blas_int(kBlock),
                  &problem_.moments[block * inputs_ + first], blas_int(inputs_), 1.0F, gradient.data(),
                  blas_int(group.width));
    }
    for (size_t i = 0; i < tile_.count; i++) {
      improve_row(group, i, &gradient[i * group.width], &change_[i * kBlock + first - block]);
    }
  }

  // change: new - old values of the group.
  void improve_row(const LocalGroup& group, size_t index, const float* gradient, float* change) {
    const Int4Row row = codes_.row(tile_.first + index);
    if (row.scale == 0) return;
    const auto codes = row.codes.subspan(group.first, group.width);
    const auto multipliers = row.multipliers.subspan(group.first / kGroupInputs, group.width / kGroupInputs);
    GroupState state;
    state.scale = row.scale;
    state.multiplier = multipliers[0];
    std::copy(codes.begin(), codes.end(), state.codes);
    std::copy_n(gradient, group.width, state.gradient);
    const bool is_new = round_anew(group, state);
    if (!step_codes(group, state) && !is_new) return;
    const float before = row.scale * static_cast<float>(multipliers[0]);
    const float after = row.scale * static_cast<float>(state.multiplier);
    for (size_t k = 0; k < group.width; k++) {
      change[k] = after * state.codes[k] - before * static_cast<float>(codes[k]);
      codes[k] = static_cast<int8_t>(state.codes[k]);
    }
    std::fill(multipliers.begin(), multipliers.end(), state.multiplier);
  }

  const RefineProblem& problem_;
  size_t inputs_;
  RowTile tile_;
  Int4Matrix& codes_;
  std::vector<float> gradient_;  // [count, K]; between passes (m q) A
  std::vector<float> steps_;     // [K] m q of a row
  std::vector<float> change_;    // [count, kBlock]
};

}  // namespace

void refine_rows(const RefineProblem& problem, RowTile tile, Int4Matrix& codes) {
  Refinement(problem, tile, codes).run();
}

}  // namespace hotaru
