#include "compiler/gptq.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "compiler/cholesky.h"
#include "kernels/packed.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

struct Moments {
  std::vector<float> quantised;
  std::vector<float> input_error;
  [[nodiscard]] InputMoments view() const { return {quantised, input_error, {}}; }
};

// What one token's float input x and quantised input u are.
using Token = std::function<void(Random&, std::vector<float>& x, std::vector<float>& u)>;

Moments moments_of(size_t inputs, size_t tokens, uint64_t seed, const Token& token) {
  std::vector<double> h(inputs * inputs);
  std::vector<double> d(inputs * inputs);
  std::vector<float> x(inputs);
  std::vector<float> u(inputs);
  for (size_t t = 0; t < tokens; t++) {
    Random random(seed, t);
    token(random, x, u);
    for (size_t i = 0; i < inputs; i++) {
      for (size_t j = 0; j < inputs; j++) {
        h[i * inputs + j] += static_cast<double>(u[i] * u[j]);
        d[i * inputs + j] += static_cast<double>((x[i] - u[i]) * u[j]);
      }
    }
  }
  Moments moments{std::vector<float>(h.size()), std::vector<float>(d.size())};
  for (size_t i = 0; i < h.size(); i++) {
    moments.quantised[i] = static_cast<float>(h[i] / static_cast<double>(tokens));
    moments.input_error[i] = static_cast<float>(d[i] / static_cast<double>(tokens));
  }
  return moments;
}

// Each input leans on its neighbour; every eighth is four times as large.
void correlated(Random& random, std::vector<float>& x) {
  float last = random.next_normal();
  for (size_t k = 0; k < x.size(); k++) {
    last = 0.8F * last + 0.6F * random.next_normal();
    x[k] = k % 8 == 3 ? 4 * last : last;
  }
}
void exact(Random& random, std::vector<float>& x, std::vector<float>& u) {
  correlated(random, x);
  u = x;
}
// u leans over to its neighbour: an error that weights can make up for.
void leaning(Random& random, std::vector<float>& x, std::vector<float>& u) {
  correlated(random, x);
  for (size_t k = 0; k < x.size(); k++) u[k] = x[k] + 0.2F * x[(k + 1) % x.size()] + 0.05F * random.next_normal();
}

std::vector<float> normal_weights(size_t rows, size_t inputs) {
  Random random(9);
  std::vector<float> weights(rows * inputs);
  for (float& w : weights) w = 0.05F * random.next_normal();
  return weights;
}

GptqResult run(const GptqProblem& problem, const GptqOptions& options, int threads = 2) {
  ThreadPool pool(threads);
  auto result = quantise_matrix_gptq(problem, options, pool);
  EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
  return *std::move(result);
}

std::vector<float> values_of(const GptqResult& result, size_t inputs) {
  return dequantise_int4(result.matrix.packed, result.matrix.row_scale, inputs);
}

// tr((a - b) H (a - b)^T)
double distance(const std::vector<float>& a, const std::vector<float>& b, const std::vector<float>& moments) {
  const auto inputs = static_cast<size_t>(std::lround(std::sqrt(static_cast<double>(moments.size()))));
  double sum = 0;
  for (size_t row = 0; row < a.size(); row += inputs) {
    for (size_t i = 0; i < inputs; i++) {
      for (size_t j = 0; j < inputs; j++) {
        sum += static_cast<double>(a[row + i] - b[row + i]) * static_cast<double>(moments[i * inputs + j]) *
               static_cast<double>(a[row + j] - b[row + j]);
      }
    }
  }
  return sum;
}

// Sizes around the tiles of rows (192) and columns (128).
TEST(Gptq, BeatsRoundingOnCorrelatedInputsOfAnySize) {
  struct Shape {
    size_t rows, inputs;
    int group;
  };
  for (const Shape shape :
       {Shape{1, 32, 32}, {7, 96, 32}, {40, 160, 32}, {200, 288, 32}, {20, 192, 64}, {9, 384, 128}}) {
    SCOPED_TRACE(testing::Message() << shape.rows << " x " << shape.inputs << ", group " << shape.group);
    const Moments moments = moments_of(shape.inputs, 3 * shape.inputs, 1, exact);
    const Moments held_out = moments_of(shape.inputs, 2 * shape.inputs, 2, exact);
    const std::vector<float> weights = normal_weights(shape.rows, shape.inputs);
    GptqOptions options;
    options.group = shape.group;
    const GptqProblem problem{
        {weights, shape.rows, shape.inputs}, {moments.quantised, {}, {}}, {held_out.quantised, {}, {}}};
    const GptqResult result = run(problem, options);
    EXPECT_LT(result.report.plain_error, 0.8 * result.report.rtn_error);
    EXPECT_LE(result.report.error, result.report.plain_error);
    EXPECT_GT(result.report.error, 0);
    EXPECT_EQ(result.report.damping, 0.01);
    EXPECT_EQ(result.report.beta, 0);
    const std::vector<float> zeros(weights.size());
    EXPECT_NEAR(distance(weights, values_of(result, shape.inputs), held_out.quantised) /
                    distance(weights, zeros, held_out.quantised),
                result.report.error, 1e-3 * result.report.error);
  }
}

TEST(Gptq, NeverKeepsWorseThanRounding) {
  constexpr size_t kInputs = 64;
  const std::vector<float> weights = normal_weights(5, kInputs);
  for (uint64_t seed = 1; seed <= 20; seed++) {
    // Moments of very few tokens, and held-out tokens of another kind.
    const Moments moments = moments_of(kInputs, seed, seed, exact);
    const Moments held_out = moments_of(kInputs, 100, 50 + seed, leaning);
    const GptqResult result = run({{weights, 5, kInputs}, moments.view(), held_out.view()}, {});
    EXPECT_LE(result.report.error, result.report.rtn_error) << seed;
  }
}

TEST(Gptq, IsRoundingWhereInputsAreIndependent) {
  constexpr size_t kInputs = 128;
  std::vector<float> identity(kInputs * kInputs);
  for (size_t k = 0; k < kInputs; k++) identity[k * kInputs + k] = 1;
  const std::vector<float> weights = normal_weights(24, kInputs);
  const GptqResult result = run({{weights, 24, kInputs}, {identity, {}, {}}, {}}, {});
  EXPECT_LE(result.report.plain_error, 1.0001 * result.report.rtn_error);
  EXPECT_LE(result.report.error, result.report.plain_error);
  EXPECT_GT(result.report.error, 0.8 * result.report.rtn_error);
}

TEST(Gptq, DeadInputsHaveNoCodes) {
  constexpr size_t kInputs = 96;
  const Moments moments = moments_of(kInputs, 300, 1, [](Random& random, auto& x, auto& u) {
    exact(random, x, u);
    for (const size_t k : {0U, 5U, 40U, 95U}) u[k] = 0;
  });
  const std::vector<float> weights = normal_weights(17, kInputs);
  const GptqResult result = run({{weights, 17, kInputs}, moments.view(), {}}, {});
  EXPECT_EQ(result.report.dead_columns, 4);
  const std::vector<float> values = values_of(result, kInputs);
  for (size_t n = 0; n < 17; n++) {
    for (const size_t k : {0U, 5U, 40U, 95U}) EXPECT_EQ(values[n * kInputs + k], 0.0F) << n << ", " << k;
    EXPECT_GT(std::count_if(&values[n * kInputs], &values[n * kInputs] + kInputs, [](float w) { return w != 0; }), 70);
  }
  const std::vector<float> none(kInputs * kInputs);
  const GptqResult nothing = run({{weights, 17, kInputs}, {none, {}, {}}, {}}, {});
  EXPECT_EQ(nothing.report.dead_columns, 96);
  EXPECT_EQ(nothing.report.error, 0);
}

TEST(Gptq, DampingGrowsUntilTheMomentsCanBeFactorised) {
  constexpr size_t kInputs = 64;
  Moments moments = moments_of(kInputs, 10, 1, exact);  // of rank 10
  const std::vector<float> weights = normal_weights(4, kInputs);
  const GptqProblem problem{{weights, 4, kInputs}, {moments.quantised, {}, {}}, {}};
  EXPECT_EQ(run(problem, {}).report.damping, 0.01);
  float mean = 0;
  for (size_t k = 0; k < kInputs; k++) mean += moments.quantised[k * kInputs + k] / kInputs;
  const auto lower = [&](float by) {
    for (size_t k = 0; k < kInputs; k++) moments.quantised[k * kInputs + k] -= by * mean;
  };
  lower(0.05F);  // no longer moments of anything
  EXPECT_EQ(run(problem, {}).report.damping, 0.1);
  lower(3.0F);
  ThreadPool pool(2);
  const auto hopeless = quantise_matrix_gptq(problem, {}, pool);
  ASSERT_FALSE(hopeless.ok());
  EXPECT_NE(hopeless.error().message.find("cannot be factorised"), std::string::npos) << hopeless.error().message;
  moments.quantised[0] = NAN;
  EXPECT_FALSE(quantise_matrix_gptq(problem, {}, pool).ok());
}

// A sample's moments promise what other tokens do not keep: with little damping GPTQ believes them.
TEST(Gptq, FewTokensAreDampedAsHeldOutOnesWant) {
  constexpr size_t kInputs = 128;
  const Moments held_out = moments_of(kInputs, 400, 2, exact);
  const std::vector<float> weights = normal_weights(40, kInputs);
  for (const size_t tokens : {20U, 60U}) {
    const Moments moments = moments_of(kInputs, tokens, 1, exact);
    GptqProblem problem{{weights, 40, kInputs}, {moments.quantised, {}, {}}, {held_out.quantised, {}, {}}};
    const GptqReport many = run(problem, {}).report;
    EXPECT_EQ(many.damping, 0.01);
    problem.tokens = tokens;
    const GptqReport few = run(problem, {}).report;
    EXPECT_GE(few.damping, 0.1);
    EXPECT_LT(few.error, 0.95 * many.error) << tokens;
    EXPECT_LE(few.error, few.rtn_error);
  }
}

// x = u + what u's neighbours tell: the weights that undo it are known, and the result must come close to them.
TEST(Gptq, RetargetingMakesUpForTheInputsError) {
  constexpr size_t kInputs = 128;
  const Moments moments = moments_of(kInputs, 1500, 1, leaning);
  const Moments held_out = moments_of(kInputs, 500, 2, leaning);
  const std::vector<float> weights = normal_weights(32, kInputs);
  const GptqProblem problem{{weights, 32, kInputs}, moments.view(), held_out.view()};
  GptqOptions blind;
  blind.retarget = false;
  const GptqResult with = run(problem, {});
  const GptqResult without = run(problem, blind);
  EXPECT_GE(with.report.beta, 0.75);
  EXPECT_EQ(without.report.beta, 0);
  EXPECT_LT(with.report.error, 0);
  EXPECT_GT(without.report.error, 0);
  EXPECT_EQ(with.report.rtn_error, without.report.rtn_error);
  EXPECT_LE(run({{weights, 32, kInputs}, moments.view(), {}}, {}).report.beta, 0.5);
}

// r - r_q = V u: the best weights are W + V.
TEST(Gptq, RetargetingTakesUpTheResidualStreamsError) {
  constexpr size_t kInputs = 96;
  const Moments moments = moments_of(kInputs, 1000, 1, exact);
  const std::vector<float> weights = normal_weights(8, kInputs);
  std::vector<float> wanted = weights;
  std::vector<float> output_error(weights.size());
  for (size_t i = 0; i < weights.size(); i++) {
    const float shift = 0.5F * weights[weights.size() - 1 - i];
    wanted[i] += shift;
    for (size_t k = 0; k < kInputs; k++) {
      output_error[i / kInputs * kInputs + k] += shift * moments.quantised[i % kInputs * kInputs + k];
    }
  }
  const InputMoments view{moments.quantised, {}, output_error};
  const GptqResult result = run({{weights, 8, kInputs}, view, view}, {});
  EXPECT_EQ(result.report.beta, 1);
  const std::vector<float> values = values_of(result, kInputs);
  EXPECT_LT(distance(wanted, values, moments.quantised), 0.05 * distance(weights, values, moments.quantised));
}

// The same error said in two ways: what the inputs lack, and what that does to the outputs.
TEST(Gptq, InputErrorsAndOutputErrorsAreOneTarget) {
  constexpr size_t kInputs = 96;
  constexpr size_t kRows = 12;
  const Moments moments = moments_of(kInputs, 800, 1, leaning);
  const Moments held_out = moments_of(kInputs, 400, 2, leaning);
  const std::vector<float> weights = normal_weights(kRows, kInputs);
  const auto output_error = [&weights](const Moments& of) {
    std::vector<float> error(weights.size());
    for (size_t i = 0; i < weights.size(); i++) {
      for (size_t k = 0; k < kInputs; k++) {
        error[i / kInputs * kInputs + k] += weights[i] * of.input_error[i % kInputs * kInputs + k];
      }
    }
    return error;
  };
  const std::vector<float> fit = output_error(moments);
  const std::vector<float> judge = output_error(held_out);
  const GptqResult by_inputs = run({{weights, kRows, kInputs}, moments.view(), held_out.view()}, {});
  const GptqResult by_outputs =
      run({{weights, kRows, kInputs}, {moments.quantised, {}, fit}, {held_out.quantised, {}, judge}}, {});
  EXPECT_EQ(by_inputs.report.beta, by_outputs.report.beta);
  EXPECT_NEAR(by_inputs.report.error, by_outputs.report.error, 1e-3 * std::fabs(by_inputs.report.error));
  EXPECT_LT(by_outputs.report.error, 0);
}

// Only some tiles of rows choose beta; the others must be swept and refined like them.
TEST(Gptq, RowsThatDoNotChooseAreAsGoodAsThoseThatDo) {
  constexpr size_t kInputs = 64;
  constexpr size_t kTile = 192;
  constexpr size_t kRows = 9 * kTile;  // every second tile chooses
  const Moments moments = moments_of(kInputs, 600, 1, leaning);
  const Moments held_out = moments_of(kInputs, 300, 2, leaning);
  const std::vector<float> weights = normal_weights(kRows, kInputs);
  const GptqResult result = run({{weights, kRows, kInputs}, moments.view(), held_out.view()}, {});
  EXPECT_GE(result.report.beta, 0.75);
  const std::vector<float> values = values_of(result, kInputs);
  const auto shifted = [&](size_t tile) {  // E |W x - Q u|^2 less what no Q can change
    const auto part = [tile](const std::vector<float>& all) {
      return std::vector<float>(&all[tile * kTile * kInputs], &all[(tile + 1) * kTile * kInputs]);
    };
    const std::vector<float> w = part(weights);
    const std::vector<float> q = part(values);
    double error = distance(w, q, held_out.quantised);
    for (size_t i = 0; i < w.size(); i++) {
      for (size_t k = 0; k < kInputs; k++) {
        error += 2 * static_cast<double>(w[i]) * static_cast<double>(held_out.input_error[i % kInputs * kInputs + k]) *
                 static_cast<double>(w[i / kInputs * kInputs + k] - q[i / kInputs * kInputs + k]);
      }
    }
    return error / distance(w, std::vector<float>(w.size()), held_out.quantised);
  };
  double sampled = 0;
  double others = 0;
  for (size_t tile = 0; tile < 9; tile++) (tile % 2 == 0 ? sampled : others) += shifted(tile);
  EXPECT_NEAR(sampled / 5, result.report.error, 1e-3 * std::fabs(result.report.error));
  EXPECT_NEAR(others / 4, sampled / 5, 0.02 * std::fabs(sampled / 5));
}

TEST(Gptq, EachStepOfRefinementLowersTheError) {
  constexpr size_t kInputs = 256;
  const Moments moments = moments_of(kInputs, 800, 1, exact);
  const std::vector<float> weights = normal_weights(20, kInputs);
  const GptqProblem problem{{weights, 20, kInputs}, {moments.quantised, {}, {}}, {}};
  double last = INFINITY;
  for (const auto& [refit, passes] : {std::pair{false, 0}, {true, 0}, {true, 1}, {true, 2}, {true, 4}}) {
    GptqOptions options;
    options.refit = refit;
    options.descent_passes = passes;
    const GptqReport report = run(problem, options).report;
    EXPECT_LT(report.error, last) << refit << ", " << passes;
    EXPECT_TRUE(refit || report.error == report.plain_error);
    last = report.error;
  }
}

TEST(Gptq, TheSameBytesWhateverTheThreads) {
  constexpr size_t kInputs = 224;
  constexpr size_t kRows = 270;
  const Moments moments = moments_of(kInputs, 500, 1, leaning);
  const Moments held_out = moments_of(kInputs, 200, 2, leaning);
  const std::vector<float> weights = normal_weights(kRows, kInputs);
  const GptqProblem problem{{weights, kRows, kInputs}, moments.view(), held_out.view()};
  const GptqResult one = run(problem, {}, 1);
  for (const int threads : {2, 3}) {
    const GptqResult many = run(problem, {}, threads);
    EXPECT_EQ(one.matrix.packed, many.matrix.packed);
    EXPECT_EQ(one.matrix.row_scale, many.matrix.row_scale);
    EXPECT_EQ(one.matrix.row_sum, many.matrix.row_sum);
    EXPECT_EQ(one.report.error, many.report.error);
  }
}

// All codes of one row under its kept step, by branch and bound: what a branch has cost so far cuts it off.
class Exhaustive {
 public:
  Exhaustive(const std::vector<float>& weights, const std::vector<float>& moments)
      : weights_(weights), root_(moments.begin(), moments.end()), errors_(weights.size()) {
    EXPECT_TRUE(factorise_upper(root_.data(), weights.size(), weights.size()));
  }
  // The least of `least` and the error of any codes with this step.
  double search(double step, double least) {
    least_ = least;
    descend(0, step, 0);
    return least_;
  }

 private:
  // Columns in order: |R^T e|^2, whose j-th part has only e_0 .. e_j.
  void descend(size_t j, double step, double sum) {
    const size_t n = weights_.size();
    if (j == n) {
      least_ = sum;
      return;
    }
    double before = 0;
    for (size_t i = 0; i < j; i++) before += root_[i * n + j] * errors_[i];
    const double pivot = root_[j * n + j];
    const double centre = (static_cast<double>(weights_[j]) + before / pivot) / step;
    std::vector<std::pair<double, int>> codes;
    for (int code = -8; code <= 7; code++) codes.emplace_back(std::abs(code - centre), code);
    std::sort(codes.begin(), codes.end());
    for (const auto& [distance_in_steps, code] : codes) {
      const double cost = distance_in_steps * step * pivot;
      if (sum + cost * cost >= least_) return;
      errors_[j] = static_cast<double>(weights_[j]) - step * code;
      descend(j + 1, step, sum + cost * cost);
    }
  }

  const std::vector<float>& weights_;
  std::vector<double> root_;    // [K, K] R of H = R R^T
  std::vector<double> errors_;  // [K]
  double least_ = 0;
};

TEST(Gptq, ComesCloseToTheBestCodesThereAre) {
  constexpr size_t kInputs = 32;
  constexpr size_t kRows = 12;
  const Moments moments = moments_of(kInputs, 400, 1, exact);
  const std::vector<float> weights = normal_weights(kRows, kInputs);
  GptqOptions options;
  options.damping = 1e-6;
  double kept = 0;
  double best = 0;
  for (size_t n = 0; n < kRows; n++) {
    const std::vector<float> row(&weights[n * kInputs], &weights[n * kInputs] + kInputs);
    const GptqResult result = run({{row, 1, kInputs}, {moments.quantised, {}, {}}, {}}, options);
    const double error = distance(row, values_of(result, kInputs), moments.quantised);
    double least = error;
    Exhaustive exhaustive(row, moments.quantised);
    std::vector<int8_t> codes(16 * kInputs);
    std::vector<uint8_t> multipliers(16);
    unpack_int4(result.matrix.packed.data(), 1, kInputs, codes.data(), multipliers.data());
    least = exhaustive.search(static_cast<double>(result.matrix.row_scale[0] * multipliers[0]), least);
    kept += error;
    best += least;
  }
  EXPECT_LT(kept, 1.12 * best);
}

}  // namespace
}  // namespace hotaru
