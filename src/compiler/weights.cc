#include "compiler/weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "compiler/rewrites.h"
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

// The row scales, of these rows only.
std::vector<Rewrite> row_scales(const Parameter& parameter, RowRange rows) {
  std::vector<Rewrite> scales;
  for (const Rewrite& rewrite : parameter.rewrites) {
    if (rewrite.kind != RewriteKind::kScaleRows) continue;
    Rewrite& scale = scales.emplace_back();
    scale.kind = rewrite.kind;
    scale.pass = rewrite.pass;
    const auto end = std::min<int64_t>(rows.end, std::ssize(rewrite.values));
    for (int64_t row = rows.begin; row < end; row++) scale.values.push_back(rewrite.values[static_cast<size_t>(row)]);
  }
  return scales;
}

size_t size_of(const Parameter& parameter, RowRange rows) {
  return static_cast<size_t>(rows.end - rows.begin) * static_cast<size_t>(parameter.columns);
}

int64_t rows_per_block(const Parameter& parameter) { return std::max<int64_t>(1, kBlockElements / parameter.columns); }

std::string place_of(const Parameter& parameter) { return fmt::format("parameter '{}'", parameter.name); }

void narrow(std::span<const double> values, float* out) {
  std::ranges::transform(values, out, [](double value) { return static_cast<float>(value); });
}

}  // namespace

Result<std::vector<float>> ParameterSource::source_rows(ParameterId id, RowRange rows) const {
  const Parameter& parameter = graph_->parameters[static_cast<size_t>(id)];
  if (!parameter.values.empty()) {
    std::vector<float> values(size_of(parameter, rows));
    const size_t first = size_of(parameter, {0, rows.begin});
    narrow(std::span(parameter.values).subspan(first, values.size()), values.data());
    return values;
  }
  if (reader_) return reader_(id, rows);
  if (tensors_ == nullptr) return synthetic_rows(parameter, Random(seed_, static_cast<uint64_t>(id)), rows);
  if (parameter.rows == 1) return tensors_->read_f32(parameter.source, std::array{parameter.columns});
  return tensors_->read_f32(parameter.source, std::array{parameter.rows, parameter.columns}, rows);
}

Result<void> ParameterSource::read_double(ParameterId id, RowRange rows, std::span<double> out) const {
  const Parameter& parameter = graph_->parameters[static_cast<size_t>(id)];
  if (!parameter.values.empty()) {
    std::copy_n(parameter.values.begin() + rows.begin * parameter.columns, out.size(), out.begin());
    return {};
  }
  TRY_ASSIGN(const std::vector<float> source, source_rows(id, rows));
  std::copy(source.begin(), source.end(), out.begin());
  return {};
}

// The source with the rewrites of columns: row by row, so any rows will do.
Result<std::vector<double>> ParameterSource::rows_before_mixing(ParameterId id, RowRange rows) const {
  const Parameter& parameter = graph_->parameters[static_cast<size_t>(id)];
  const auto columns = static_cast<size_t>(parameter.columns);
  std::vector<double> values(size_of(parameter, rows));
  const int64_t step = rows_per_block(parameter);
  for (int64_t begin = rows.begin; begin < rows.end; begin += step) {
    const RowRange some{begin, std::min(begin + step, rows.end)};
    const auto block = std::span(values).subspan(size_of(parameter, {rows.begin, begin}), size_of(parameter, some));
    TRY(read_double(id, some, block));
    auto rewritten = rewrite_columns(parameter.rewrites, block.size() / columns, columns, block);
    if (!rewritten) return at(place_of(parameter), std::move(rewritten).error());
  }
  return values;
}

// W' = L W R: first R, then L (compiler/rewrites.h).
Result<std::vector<double>> ParameterSource::rewritten_rows(ParameterId id, RowRange rows) const {
  const Parameter& parameter = graph_->parameters[static_cast<size_t>(id)];
  const auto columns = static_cast<size_t>(parameter.columns);
  const bool mixes = mixes_rows(parameter.rewrites);
  const RowRange needed = mixes ? RowRange{0, parameter.rows} : rows;
  TRY_ASSIGN(std::vector<double> values, rows_before_mixing(id, needed));
  auto rewritten = mixes ? rewrite_rows(parameter.rewrites, values.size() / columns, columns, values)
                         : rewrite_rows(row_scales(parameter, rows), values.size() / columns, columns, values);
  if (!rewritten) return at(place_of(parameter), std::move(rewritten).error());
  if (size_of(parameter, rows) < values.size()) {
    values.erase(values.begin(), values.begin() + rows.begin * parameter.columns);
    values.resize(size_of(parameter, rows));
  }
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
  std::vector<float> values(size_of(parameter, rows));
  const int64_t step = mixes_rows(parameter.rewrites) ? rows.end - rows.begin : rows_per_block(parameter);
  float* out = values.data();
  for (int64_t begin = rows.begin; begin < rows.end; begin += step) {
    TRY_ASSIGN(const std::vector<double> block, rewritten_rows(id, {begin, std::min(begin + step, rows.end)}));
    narrow(block, out);
    out += block.size();
  }
  return values;
}

}  // namespace hotaru
