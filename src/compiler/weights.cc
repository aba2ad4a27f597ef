#include "compiler/weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "tensor/random.h"

namespace hotaru {
namespace {

// Doubles held at once while a large matrix is rewritten.
constexpr int64_t kBlockElements = int64_t{1} << 20;
// Random::next_normal takes six words.
constexpr uint64_t kWordsPerNormal = 6;

// Of the size a trained model has: rows of length about 1, gammas 1, biases 0.
std::vector<float> synthetic_rows(const Parameter& parameter, Random random, RowRange rows) {
  const auto columns = static_cast<size_t>(parameter.columns);
  const auto first = static_cast<size_t>(rows.begin) * columns;
  std::vector<float> values(static_cast<size_t>(rows.end) * columns - first);
  if (parameter.rows == 1) {
    std::fill(values.begin(), values.end(), parameter.name.ends_with(".bias") ? 0.0F : 1.0F);
    return values;
  }
  const float deviation = 1.0F / std::sqrt(static_cast<float>(parameter.columns));
  random.seek(first * kWordsPerNormal);
  for (float& value : values) value = deviation * random.next_normal();
  return values;
}

// Applies one rewrite to rows [rows.begin, rows.end) of the parameter.
Result<void> apply(const Rewrite& rewrite, const Parameter& parameter, RowRange rows, std::vector<double>& values) {
  const auto columns = static_cast<size_t>(parameter.columns);
  const auto count = static_cast<size_t>(rows.end - rows.begin);
  const double* factors = rewrite.values.data();
  switch (rewrite.kind) {
    case RewriteKind::kScaleColumns:
      for (size_t i = 0; i < count * columns; i++) values[i] *= factors[i % columns];
      return {};
    case RewriteKind::kScaleRows:
      factors += rows.begin;
      for (size_t i = 0; i < count * columns; i++) values[i] *= factors[i / columns];
      return {};
    default:
      return not_supported("parameter '{}': rewrite {} of pass '{}' is not supported yet", parameter.name,
                           static_cast<int>(rewrite.kind), rewrite.pass);
  }
}

}  // namespace

Result<std::vector<float>> ParameterSource::source_rows(ParameterId id, RowRange rows) const {
  const Parameter& parameter = graph_->parameters[static_cast<size_t>(id)];
  if (!parameter.values.empty()) {
    const auto begin = parameter.values.begin() + rows.begin * parameter.columns;
    const auto end = parameter.values.begin() + rows.end * parameter.columns;
    std::vector<float> values(static_cast<size_t>(end - begin));
    std::transform(begin, end, values.begin(), [](double value) { return static_cast<float>(value); });
    return values;
  }
  if (tensors_ == nullptr) return synthetic_rows(parameter, Random(seed_, static_cast<uint64_t>(id)), rows);
  if (parameter.rows == 1) return tensors_->read_f32(parameter.source, std::array{parameter.columns});
  return tensors_->read_f32(parameter.source, std::array{parameter.rows, parameter.columns}, rows);
}

Result<std::vector<double>> ParameterSource::rewritten_rows(ParameterId id, RowRange rows) const {
  const Parameter& parameter = graph_->parameters[static_cast<size_t>(id)];
  std::vector<double> values;
  if (parameter.values.empty()) {
    TRY_ASSIGN(const std::vector<float> source, source_rows(id, rows));
    values.assign(source.begin(), source.end());
  } else {
    values.assign(parameter.values.begin() + rows.begin * parameter.columns,
                  parameter.values.begin() + rows.end * parameter.columns);
  }
  for (const Rewrite& rewrite : parameter.rewrites) TRY(apply(rewrite, parameter, rows, values));
  return values;
}

Result<std::vector<double>> ParameterSource::materialise_double(ParameterId id) const {
  return rewritten_rows(id, {0, graph_->parameters[static_cast<size_t>(id)].rows});
}

Result<std::vector<float>> ParameterSource::materialise(ParameterId id) const {
  return materialise_rows(id, {0, graph_->parameters[static_cast<size_t>(id)].rows});
}

Result<std::vector<float>> ParameterSource::materialise_rows(ParameterId id, RowRange rows) const {
  const Parameter& parameter = graph_->parameters[static_cast<size_t>(id)];
  if (parameter.rewrites.empty()) return source_rows(id, rows);
  std::vector<float> values(static_cast<size_t>(rows.end - rows.begin) * static_cast<size_t>(parameter.columns));
  const int64_t step = std::max<int64_t>(1, kBlockElements / parameter.columns);
  auto out = values.begin();
  for (int64_t begin = rows.begin; begin < rows.end; begin += step) {
    TRY_ASSIGN(const std::vector<double> block, rewritten_rows(id, {begin, std::min(begin + step, rows.end)}));
    out = std::transform(block.begin(), block.end(), out, [](double value) { return static_cast<float>(value); });
  }
  return values;
}

}  // namespace hotaru
