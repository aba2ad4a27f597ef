#include "compiler/gptq_sweep.h"

#include <algorithm>

#include "compiler/blas.h"
#include "compiler/gptq_round.h"
#include "kernels/packed.h"

namespace hotaru {
namespace {

// Errors further back than this many columns reach a group by one product for the whole block.
constexpr size_t kBlock = 128;

// to[count, K]: the columns of `from` in processing order.
std::vector<float> permute(const GptqFactor& factor, std::span<const float> from) {
  const size_t inputs = factor.order.size();
  std::vector<float> to(from.size());
  for (size_t row = 0; row < from.size(); row += inputs) {
    for (size_t i = 0; i < inputs; i++) to[row + i] = from[row + factor.order[i]];
  }
  return to;
}

class Sweep {
 public:
  Sweep(const GptqFactor& factor, size_t group, std::span<const float> target, RowTile tile, Int4Matrix& out)
      : factor_(factor),
        inputs_(factor.order.size()),
        group_(group),
        tile_(tile),
        out_(out),
        weights_(permute(factor, target)),
        errors_(weights_.size()),
        drift_(tile.count * kBlock) {}

  void run() {
    for (size_t block = 0; block < inputs_; block += kBlock) {
      const size_t width = std::min(kBlock, inputs_ - block);
      add_drift({0, block}, {block, width}, 0);
      for (size_t first = block; first < block + width; first += group_) {
        if (first > block) add_drift({block, first - block}, {first, group_}, first - block);
        round(first, &drift_[first - block]);
      }
    }
  }

 private:
  struct Columns {
    size_t first, count;
  };

  // drift[tile, to] (+)= errors[tile, from] U[from, to], at `offset` in the block.
  void add_drift(Columns from, Columns to, size_t offset) {
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas_int(tile_.count), blas_int(to.count),
                blas_int(from.count), 1.0F, errors_.data() + from.first, blas_int(inputs_),
                factor_.unit.data() + from.first * inputs_ + to.first, blas_int(inputs_), offset == 0 ? 0.0F : 1.0F,
                drift_.data() + offset, blas_int(kBlock));
  }

  void round(size_t first, const float* drift) {
    const GroupFactor group =
        take_group(&factor_.unit[first * inputs_ + first], inputs_, &factor_.pivot[first], group_);
    const size_t column = factor_.order[first] / group_ * group_;  // groups stay aligned under the order
    float codes[kMostGroup];
    for (size_t i = 0; i < tile_.count; i++) {
      const size_t at = i * inputs_ + first;
      Int4Row row = out_.row(tile_.first + i);
      const GroupChoice choice =
          round_group(group, {&weights_[at], drift + i * kBlock, row.scale}, codes, &errors_[at]);
      for (size_t j = 0; j < group_; j++) row.codes[factor_.order[first + j]] = static_cast<int8_t>(codes[j]);
      std::fill_n(row.multipliers.begin() + static_cast<ptrdiff_t>(column / kGroupInputs), group_ / kGroupInputs,
                  choice.multiplier);
    }
  }

  const GptqFactor& factor_;
  size_t inputs_;
  size_t group_;
  RowTile tile_;
  Int4Matrix& out_;
  std::vector<float> weights_;  // [count, K] in processing order, as errors_
  std::vector<float> errors_;
  std::vector<float> drift_;  // [count, kBlock]
};

}  // namespace

void solve_rows(const GptqFactor& factor, std::span<float> x) {
  const size_t inputs = factor.order.size();
  const blasint rows = blas_int(x.size() / inputs);
  std::vector<float> y = permute(factor, x);
  cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasUnit, rows, blas_int(inputs), 1.0F,
              factor.unit.data(), blas_int(inputs), y.data(), blas_int(inputs));
  for (size_t i = 0; i < y.size(); i++) y[i] /= factor.pivot[i % inputs];
  cblas_strsm(CblasRowMajor, CblasRight, CblasUpper, CblasNoTrans, CblasUnit, rows, blas_int(inputs), 1.0F,
              factor.unit.data(), blas_int(inputs), y.data(), blas_int(inputs));
  for (size_t row = 0; row < x.size(); row += inputs) {
    for (size_t i = 0; i < inputs; i++) x[row + factor.order[i]] = y[row + i];
  }
}

void sweep_rows(const GptqFactor& factor, int group, std::span<const float> target, RowTile tile, Int4Matrix& out) {
  Sweep(factor, static_cast<size_t>(group), target, tile, out).run();
}

}  // namespace hotaru
