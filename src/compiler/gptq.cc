#include "compiler/gptq.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "base/check.h"
#include "compiler/blas.h"
#include "compiler/float_ops.h"
#include "compiler/gptq_factor.h"
#include "compiler/gptq_refine.h"
#include "compiler/gptq_sweep.h"
#include "kernels/packed.h"

namespace hotaru {
namespace {

constexpr size_t kTileRows = 128;  // of one thread at a time
constexpr std::array<float, 5> kBetas = {0, 0.25F, 0.5F, 0.75F, 1};
constexpr float kMostBlindBeta = 0.5F;  // without held-out tokens
// With fewer tokens than this for each input the moments are those of the sample: more damping may be better.
constexpr size_t kFewTokens = 8;
constexpr std::array<double, 2> kMoreDamping = {10, 100};

// A rounding of the matrix with each row's share of the error.
struct Candidate {
  Candidate(size_t rows, size_t inputs) : codes(rows, inputs), error(rows) {}
  [[nodiscard]] double total() const { return std::accumulate(error.begin(), error.end(), 0.0); }

  Int4Matrix codes;
  std::vector<double> error;  // [N]
};

// to[count, K] = factor * from[count, K] square[K, K] + keep * to
struct Product {
  std::span<const float> from;
  std::span<const float> square;
  float factor = 1;
  float keep = 0;
};
void multiply(const Product& product, size_t inputs, std::vector<float>& to) {
  const blasint k = blas_int(inputs);
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas_int(product.from.size() / inputs), k, k, product.factor,
              product.from.data(), k, product.square.data(), k, product.keep, to.data(), k);
}

double dot(const float* a, const float* b, size_t count) {
  double sum = 0;
  for (size_t k = 0; k < count; k++) sum += static_cast<double>(a[k]) * static_cast<double>(b[k]);
  return sum;
}

class Gptq {
 public:
  Gptq(const GptqProblem& problem, const GptqOptions& options, const GptqFactor& factor, ThreadPool& pool)
      : problem_(problem),
        options_(options),
        factor_(factor),
        pool_(pool),
        rows_(problem.matrix.rows),
        inputs_(problem.matrix.inputs),
        judge_(problem.held_out.quantised.empty() ? problem.moments : problem.held_out),
        power_(rows_) {
    weights_.assign(problem.matrix.weights.begin(), problem.matrix.weights.end());
    for (size_t i = 0; i < weights_.size(); i++) {
      if (factor.is_dead[i % inputs_]) weights_[i] = 0;
    }
  }

  GptqResult run() {
    Candidate rtn(0, inputs_);
    rtn.codes = search_matrix_int4({weights_, rows_, inputs_}, factor_.diagonal, options_.group, pool_);
    rtn.error.resize(rows_);
    std::vector<Candidate> swept(betas(), Candidate(rows_, inputs_));
    for_each_tile([&](RowTile tile) { sweep_tile(tile, rtn, swept); });

    size_t best = 0;
    for (size_t i = 1; i < swept.size(); i++) best = swept[i].total() < swept[best].total() ? i : best;
    Candidate refined = swept[best];
    if (options_.refit || options_.descent_passes > 0) {
      for_each_tile([&](RowTile tile) { refine_tile(tile, kBetas[best], refined); });
    }
    Candidate& kept = refined.total() < swept[best].total() ? refined : swept[best];
    const bool is_rtn = !(kept.total() < rtn.total());
    const double power = std::accumulate(power_.begin(), power_.end(), 0.0);
    const auto relative = [power](const Candidate& candidate) { return power > 0 ? candidate.total() / power : 0.0; };
    GptqReport report;
    report.rtn_error = relative(rtn);
    report.plain_error = relative(swept[0]);
    report.error = relative(is_rtn ? rtn : kept);
    report.damping = factor_.damping;
    report.beta = is_rtn ? 0 : static_cast<double>(kBetas[best]);
    report.dead_columns = factor_.dead_columns;
    return {pack_matrix_int4(problem_.matrix, std::move(is_rtn ? rtn : kept).codes, pool_), report};
  }

 private:
  [[nodiscard]] static bool has_shift(const InputMoments& moments) {
    return !moments.cross.empty() || !moments.residual.empty();
  }

  [[nodiscard]] size_t betas() const {
    if (!options_.retarget || !has_shift(problem_.moments)) return 1;
    if (!problem_.held_out.quantised.empty()) return kBetas.size();
    return static_cast<size_t>(std::upper_bound(kBetas.begin(), kBetas.end(), kMostBlindBeta) - kBetas.begin());
  }

  // Tiles have one size whatever the number of threads.
  void for_each_tile(const std::function<void(RowTile)>& task) const {
    for_each_task(pool_, (rows_ + kTileRows - 1) / kTileRows, [&](size_t index, int) {
      task({index * kTileRows, std::min(kTileRows, rows_ - index * kTileRows)});
    });
  }

  [[nodiscard]] std::span<const float> weights_of(RowTile tile) const {
    return std::span(weights_).subspan(tile.first * inputs_, tile.count * inputs_);
  }

  // What a tile's outputs should have on top of W u, by its inputs: W (G - H) + R, given product = W H. Empty: nothing.
  [[nodiscard]] std::vector<float> shift_of(const InputMoments& moments, RowTile tile,
                                            const std::vector<float>& product) const {
    if (!has_shift(moments)) return {};
    std::vector<float> shift(product.size());
    if (!moments.cross.empty()) {
      shift = product;
      multiply({weights_of(tile), moments.cross, 1, -1}, inputs_, shift);
    }
    if (!moments.residual.empty()) {
      const float* residual = moments.residual.data() + tile.first * inputs_;
      for (size_t i = 0; i < shift.size(); i++) shift[i] += residual[i];
    }
    return shift;
  }

  void sweep_tile(RowTile tile, Candidate& rtn, std::vector<Candidate>& swept) {
    const std::span<const float> weights = weights_of(tile);
    std::vector<float> product(weights.size());
    multiply({weights, judge_.quantised}, inputs_, product);
    for (size_t i = 0; i < tile.count; i++) {
      power_[tile.first + i] = dot(&product[i * inputs_], &weights[i * inputs_], inputs_);
    }
    const std::vector<float> judge_shift = shift_of(judge_, tile, product);
    judge(tile, judge_shift, rtn);

    std::vector<float> solved;  // (W (G - H) + R) A^-1
    if (swept.size() > 1) {
      multiply({weights, problem_.moments.quantised}, inputs_, product);
      solved = shift_of(problem_.moments, tile, product);
      solve_rows(factor_, solved);
    }
    std::vector<float> target(weights.begin(), weights.end());
    for (size_t b = 0; b < swept.size(); b++) {
      Int4Matrix& codes = swept[b].codes;
      for (size_t i = 0; b > 0 && i < target.size(); i++) target[i] = weights[i] + kBetas[b] * solved[i];
      for (size_t i = 0; i < tile.count; i++) {
        Int4Row row = codes.row(tile.first + i);
        if (b > 0) quantise_row_int4({{&target[i * inputs_], inputs_}, factor_.diagonal, options_.group}, row);
        codes.row_scale[tile.first + i] = b > 0 ? row.scale : rtn.codes.row_scale[tile.first + i];
      }
      sweep_rows(factor_, options_.group, target, tile, codes);
      judge(tile, judge_shift, swept[b]);
    }
  }

  void refine_tile(RowTile tile, float beta, Candidate& candidate) {
    const std::span<const float> weights = weights_of(tile);
    std::vector<float> product(weights.size());
    multiply({weights, problem_.moments.quantised}, inputs_, product);
    // w* A = W (H + ridge) + beta (W (G - H) + R)
    std::vector<float> target = product;
    for (size_t i = 0; i < target.size(); i++) target[i] += factor_.ridge * weights[i];
    if (beta > 0) {
      const std::vector<float> shift = shift_of(problem_.moments, tile, product);
      for (size_t i = 0; i < target.size(); i++) target[i] += beta * shift[i];
    }
    refine_rows(
        {problem_.moments.quantised, factor_.ridge, options_.group, options_.refit, options_.descent_passes, target},
        tile, candidate.codes);
    if (!problem_.held_out.quantised.empty()) multiply({weights, judge_.quantised}, inputs_, product);
    judge(tile, shift_of(judge_, tile, product), candidate);
  }

  // Rows' errors: D H D^T + 2 D shift^T with D = W - Q.
  void judge(RowTile tile, const std::vector<float>& shift, Candidate& candidate) const {
    const std::span<const float> weights = weights_of(tile);
    std::vector<float> difference(weights.begin(), weights.end());
    for (size_t i = 0; i < tile.count; i++) {
      const Int4Row row = candidate.codes.row(tile.first + i);
      for (size_t k = 0; k < inputs_; k++) {
        const int steps = row.codes[k] * row.multipliers[k / kGroupInputs];
        difference[i * inputs_ + k] -= row.scale * static_cast<float>(steps);
      }
    }
    std::vector<float> product(difference.size());
    multiply({difference, judge_.quantised}, inputs_, product);
    for (size_t i = 0; i < tile.count; i++) {
      const float* d = &difference[i * inputs_];
      double error = dot(d, &product[i * inputs_], inputs_);
      if (!shift.empty()) error += 2 * dot(d, &shift[i * inputs_], inputs_);
      candidate.error[tile.first + i] = error;
    }
  }

  const GptqProblem& problem_;
  const GptqOptions& options_;
  const GptqFactor& factor_;
  ThreadPool& pool_;
  size_t rows_;
  size_t inputs_;
  const InputMoments& judge_;   // of the tokens that decide
  std::vector<float> weights_;  // [N, K] with nothing in dead columns
  std::vector<double> power_;   // [N] E |W u|^2
};

void check_sizes(const GptqProblem& problem, const InputMoments& moments) {
  const size_t inputs = problem.matrix.inputs;
  CHECK_EQ(moments.quantised.size(), inputs * inputs);
  CHECK(moments.cross.empty() || moments.cross.size() == inputs * inputs);
  CHECK(moments.residual.empty() || moments.residual.size() == problem.matrix.rows * inputs);
  CHECK_EQ(moments.cross.empty(), problem.moments.cross.empty());
  CHECK_EQ(moments.residual.empty(), problem.moments.residual.empty());
}

Result<GptqResult> quantise_damped(const GptqProblem& problem, const GptqOptions& options, double damping,
                                   ThreadPool& pool) {
  TRY_ASSIGN(const GptqFactor factor, factorise_moments(problem.moments.quantised, options.group, damping, pool));
  return Gptq(problem, options, factor, pool).run();
}

}  // namespace

Result<GptqResult> quantise_matrix_gptq(const GptqProblem& problem, const GptqOptions& options, ThreadPool& pool) {
  CHECK_EQ(problem.matrix.weights.size(), problem.matrix.rows * problem.matrix.inputs);
  CHECK(options.group == 32 || options.group == 64 || options.group == 128);
  CHECK_EQ(problem.matrix.inputs % static_cast<size_t>(options.group), 0U);
  CHECK(options.damping > 0);
  check_sizes(problem, problem.moments);
  if (!problem.held_out.quantised.empty()) check_sizes(problem, problem.held_out);
  use_one_blas_thread();
  TRY_ASSIGN(GptqResult best, quantise_damped(problem, options, options.damping, pool));
  const bool is_few = problem.tokens > 0 && problem.tokens < kFewTokens * problem.matrix.inputs;
  if (!is_few || problem.held_out.quantised.empty()) return best;
  for (const double more : kMoreDamping) {
    TRY_ASSIGN(GptqResult result, quantise_damped(problem, options, more * options.damping, pool));
    if (result.report.error < best.report.error) best = std::move(result);
  }
  return best;
}

}  // namespace hotaru
