#include "compiler/gptq.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <optional>
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

constexpr size_t kTileRows = 192;    // of one thread at a time: fewer, and reading the moments would take longer
constexpr size_t kSampledTiles = 4;  // at least, of those that choose beta for a matrix
constexpr std::array<float, 5> kBetas = {0, 0.25F, 0.5F, 0.75F, 1};
constexpr float kMostBlindBeta = 0.5F;  // without held-out tokens
// With fewer tokens than this for each input the moments are those of the sample.
constexpr size_t kFewTokens = 8;
constexpr std::array<double, 2> kMoreDamping = {10, 100};

// A rounding of the matrix, and the error of its sampled rows.
struct Candidate {
  Candidate(size_t rows, size_t inputs) : codes(rows, inputs), error(rows) {}
  [[nodiscard]] double total() const { return std::accumulate(error.begin(), error.end(), 0.0); }

  Int4Matrix codes;
  std::vector<double> error;  // [N], 0 in rows that are not sampled
};

// What one damping does to the sampled rows.
struct Trial {
  explicit Trial(size_t inputs) : rtn(0, inputs), gptq(0, inputs) {}

  Candidate rtn;   // of all rows
  Candidate gptq;  // codes of the sampled rows only
  float beta = 0;
  bool is_refined = false;
  bool is_rtn = false;  // nothing was better
  GptqReport report;
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

// Then more damping may be better.
bool is_short_of_tokens(const GptqProblem& problem) {
  return problem.tokens > 0 && problem.tokens < kFewTokens * problem.matrix.inputs &&
         !problem.held_out.quantised.empty();
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

  // `before`: of another damping, or null. Rounding alone knows of none.
  Trial try_out(const Trial* before) {
    Trial trial(inputs_);
    if (before != nullptr)
      trial.rtn.codes = before->rtn.codes;
    else
      trial.rtn.codes = search_matrix_int4({weights_, rows_, inputs_}, factor_.diagonal, options_.group, pool_);
    trial.rtn.error.resize(rows_);
    std::vector<Candidate> tried(betas(), Candidate(rows_, inputs_));
    for_tiles(sampled_tiles(), [&](RowTile tile) { try_betas(tile, trial.rtn, tried); });
    size_t best = 0;
    for (size_t i = 1; i < tried.size(); i++) best = tried[i].total() < tried[best].total() ? i : best;
    trial.beta = kBetas[best];
    trial.report.plain_error = relative(tried[0]);
    trial.report.rtn_error = relative(trial.rtn);
    trial.gptq = std::move(tried[best]);
    tried.clear();
    if (options_.refit || options_.descent_passes > 0) refine_sample(trial);
    trial.is_rtn = !(trial.gptq.total() < trial.rtn.total());
    trial.report.error = relative(trial.is_rtn ? trial.rtn : trial.gptq);
    trial.report.damping = factor_.damping;
    trial.report.beta = trial.is_rtn ? 0 : static_cast<double>(trial.beta);
    trial.report.dead_columns = factor_.dead_columns;
    return trial;
  }

  // The trial was of the same damping.
  GptqResult finish(Trial trial) const {
    if (trial.is_rtn) return {pack_matrix_int4(problem_.matrix, std::move(trial.rtn).codes, pool_), trial.report};
    Int4Matrix& codes = trial.gptq.codes;
    for_tiles(other_tiles(), [&](RowTile tile) {
      sweep_tile(tile, trial.beta, trial.rtn, codes);
      if (trial.is_refined) refine_tile(tile, trial.beta, codes);
    });
    return {pack_matrix_int4(problem_.matrix, std::move(codes), pool_), trial.report};
  }

 private:
  [[nodiscard]] static bool has_shift(const InputMoments& moments) {
    return !moments.input_error.empty() || !moments.output_error.empty();
  }

  [[nodiscard]] size_t betas() const {
    if (!options_.retarget || !has_shift(problem_.moments)) return 1;
    if (!problem_.held_out.quantised.empty()) return kBetas.size();
    return static_cast<size_t>(std::upper_bound(kBetas.begin(), kBetas.end(), kMostBlindBeta) - kBetas.begin());
  }

  [[nodiscard]] double relative(const Candidate& candidate) const {
    const double power = std::accumulate(power_.begin(), power_.end(), 0.0);
    return power > 0 ? candidate.total() / power : 0.0;
  }

  // Tiles have one size whatever the number of threads.
  [[nodiscard]] std::vector<RowTile> all_tiles() const {
    std::vector<RowTile> tiles;
    for (size_t row = 0; row < rows_; row += kTileRows) tiles.push_back({row, std::min(kTileRows, rows_ - row)});
    return tiles;
  }
  // Those that choose, evenly over the matrix: small matrices as a whole. Trying every beta costs more than all the
  // rest.
  [[nodiscard]] bool is_sampled(size_t tile) const {
    const size_t tiles = (rows_ + kTileRows - 1) / kTileRows;
    return tile % std::max<size_t>(1, tiles / kSampledTiles) == 0;
  }
  [[nodiscard]] std::vector<RowTile> tiles_where(bool sampled) const {
    std::vector<RowTile> tiles;
    for (const RowTile& tile : all_tiles()) {
      if (is_sampled(tile.first / kTileRows) == sampled) tiles.push_back(tile);
    }
    return tiles;
  }
  [[nodiscard]] std::vector<RowTile> sampled_tiles() const { return tiles_where(true); }
  [[nodiscard]] std::vector<RowTile> other_tiles() const { return tiles_where(false); }

  void for_tiles(const std::vector<RowTile>& tiles, const std::function<void(RowTile)>& task) const {
    for_each_task(pool_, tiles.size(), [&](size_t index, int thread) {
      if (thread == 0 && options_.on_tick) options_.on_tick();
      task(tiles[index]);
    });
  }

  [[nodiscard]] std::span<const float> weights_of(RowTile tile) const {
    return std::span(weights_).subspan(tile.first * inputs_, tile.count * inputs_);
  }

  // What a tile's outputs should have on top of W u, by its inputs: S. Empty: nothing.
  [[nodiscard]] std::vector<float> shift_of(const InputMoments& moments, RowTile tile) const {
    if (!moments.output_error.empty()) {
      const float* first = moments.output_error.data() + tile.first * inputs_;
      return {first, first + tile.count * inputs_};
    }
    std::vector<float> shift;
    if (moments.input_error.empty()) return shift;
    shift.resize(tile.count * inputs_);
    multiply({weights_of(tile), moments.input_error}, inputs_, shift);
    return shift;
  }

  void refine_sample(Trial& trial) const {
    Candidate refined = trial.gptq;
    for_tiles(sampled_tiles(), [&](RowTile tile) {
      refine_tile(tile, trial.beta, refined.codes);
      judge(tile, shift_of(judge_, tile), refined);
    });
    trial.is_refined = refined.total() < trial.gptq.total();
    if (trial.is_refined) trial.gptq = std::move(refined);
  }

  // W + beta S A^-1 by its second part; empty: nothing.
  [[nodiscard]] std::vector<float> solved_shift(RowTile tile) const {
    std::vector<float> solved = shift_of(problem_.moments, tile);
    if (!solved.empty()) solve_rows(factor_, solved);
    return solved;
  }

  void try_betas(RowTile tile, Candidate& rtn, std::vector<Candidate>& tried) {
    const std::span<const float> weights = weights_of(tile);
    std::vector<float> product(weights.size());
    multiply({weights, judge_.quantised}, inputs_, product);
    for (size_t i = 0; i < tile.count; i++) {
      power_[tile.first + i] = dot(&product[i * inputs_], &weights[i * inputs_], inputs_);
    }
    const std::vector<float> judge_shift = shift_of(judge_, tile);
    judge(tile, judge_shift, rtn);
    const std::vector<float> solved = tried.size() > 1 ? solved_shift(tile) : std::vector<float>();
    for (size_t b = 0; b < tried.size(); b++) {
      sweep_towards(tile, kBetas[b], solved, rtn, tried[b].codes);
      judge(tile, judge_shift, tried[b]);
    }
  }

  void sweep_tile(RowTile tile, float beta, const Candidate& rtn, Int4Matrix& codes) const {
    sweep_towards(tile, beta, beta > 0 ? solved_shift(tile) : std::vector<float>(), rtn, codes);
  }

  void sweep_towards(RowTile tile, float beta, const std::vector<float>& solved, const Candidate& rtn,
                     Int4Matrix& codes) const {
    const std::span<const float> weights = weights_of(tile);
    std::vector<float> target(weights.begin(), weights.end());
    for (size_t i = 0; beta > 0 && i < target.size(); i++) target[i] += beta * solved[i];
    for (size_t i = 0; i < tile.count; i++) {
      Int4Row row = codes.row(tile.first + i);
      if (beta > 0) quantise_row_int4({{&target[i * inputs_], inputs_}, factor_.diagonal, options_.group}, row);
      codes.row_scale[tile.first + i] = beta > 0 ? row.scale : rtn.codes.row_scale[tile.first + i];
    }
    sweep_rows(factor_, options_.group, target, tile, codes);
  }

  void refine_tile(RowTile tile, float beta, Int4Matrix& codes) const {
    const std::span<const float> weights = weights_of(tile);
    // w* A = W (H + ridge) + beta S
    std::vector<float> target(weights.begin(), weights.end());
    multiply({weights, problem_.moments.quantised, 1, factor_.ridge}, inputs_, target);
    if (beta > 0) {
      const std::vector<float> shift = shift_of(problem_.moments, tile);
      for (size_t i = 0; i < target.size(); i++) target[i] += beta * shift[i];
    }
    refine_rows(
        {problem_.moments.quantised, factor_.ridge, options_.group, options_.refit, options_.descent_passes, target},
        tile, codes);
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
  std::vector<double> power_;   // [N] E |W u|^2 of sampled rows
};

void check_sizes(const GptqProblem& problem, const InputMoments& moments) {
  const size_t inputs = problem.matrix.inputs;
  CHECK_EQ(moments.quantised.size(), inputs * inputs);
  CHECK(moments.input_error.empty() || moments.input_error.size() == inputs * inputs);
  CHECK(moments.output_error.empty() || moments.output_error.size() == problem.matrix.rows * inputs);
  CHECK(moments.input_error.empty() || moments.output_error.empty());
  CHECK_EQ(moments.input_error.empty(), problem.moments.input_error.empty());
  CHECK_EQ(moments.output_error.empty(), problem.moments.output_error.empty());
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
  std::vector<double> dampings = {options.damping};
  if (is_short_of_tokens(problem)) {
    for (const double more : kMoreDamping) dampings.push_back(more * options.damping);
  }
  std::optional<GptqFactor> factor;
  std::optional<Trial> best;
  double best_damping = 0;
  for (const double damping : dampings) {
    factor.reset();  // a wide one is large
    TRY_ASSIGN(factor, factorise_moments(problem.moments.quantised, options.group, damping, pool));
    Trial trial = Gptq(problem, options, *factor, pool).try_out(best ? &*best : nullptr);
    if (best && !(trial.report.error < best->report.error)) continue;
    best = std::move(trial);
    best_damping = damping;
  }
  if (best_damping != dampings.back() && !best->is_rtn) {
    factor.reset();
    TRY_ASSIGN(factor, factorise_moments(problem.moments.quantised, options.group, best_damping, pool));
  }
  return Gptq(problem, options, *factor, pool).finish(*std::move(best));
}

}  // namespace hotaru
