#include "compiler/double_logits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "compiler/float_executor.h"
#include "model/checkpoint.h"

namespace hotaru {
namespace {

using Rows = std::vector<double>;  // [T, width]

class DoublePlayer {
 public:
  DoublePlayer(const Graph& graph, const ParameterSource& parameters, std::span<const int32_t> ids)
      : graph_(graph), parameters_(parameters), ids_(ids), values_(graph.values.size()) {}

  Rows play() {
    for (const Node& node : graph_.nodes) values_[static_cast<size_t>(node.output)] = output_of(node);
    return values_[static_cast<size_t>(graph_.nodes.back().output)];
  }

 private:
  Rows output_of(const Node& node) {
    switch (node.kind) {
      case NodeKind::kEmbed:
        return embed(parameter(node.weight), width_of(node.output));
      case NodeKind::kRmsNorm:
        return norm(node, width_of(node.output));
      case NodeKind::kHeadNorm:
        return norm(node, static_cast<size_t>(node.head_width));
      case NodeKind::kLinear:
        return linear(node);
      case NodeKind::kRope:
        return rope(node);
      case NodeKind::kAttention:
        return attention(node);
      case NodeKind::kSwiGlu: {
        Rows y = input(node, 0);
        for (size_t i = 0; i < y.size(); i++) y[i] = y[i] / (1 + std::exp(-y[i])) * input(node, 1)[i];
        return y;
      }
      case NodeKind::kAdd: {
        Rows y = input(node, 0);
        for (size_t i = 0; i < y.size(); i++) y[i] += input(node, 1)[i];
        return y;
      }
    }
    return {};
  }

  Rows embed(const Rows& table, size_t width) const {
    Rows y;
    for (const int32_t id : ids_) {
      const auto row = table.begin() + static_cast<std::ptrdiff_t>(static_cast<size_t>(id) * width);
      y.insert(y.end(), row, row + static_cast<std::ptrdiff_t>(width));
    }
    return y;
  }

  // Over every run of `width` channels.
  Rows norm(const Node& node, size_t width) {
    const Rows gamma = node.weight == kNone ? Rows(width, 1) : parameter(node.weight);
    Rows y = input(node, 0);
    for (size_t first = 0; first < y.size(); first += width) {
      double squares = 0;
      for (size_t i = 0; i < width; i++) squares += y[first + i] * y[first + i];
      const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + static_cast<double>(node.epsilon));
      for (size_t i = 0; i < width; i++) y[first + i] *= scale * gamma[i];
    }
    return y;
  }

  Rows linear(const Node& node) {
    const Rows weight = parameter(node.weight);
    const Rows& x = input(node, 0);
    const size_t k = width_of(node.inputs[0]);
    const size_t n = width_of(node.output);
    const Rows bias = node.bias == kNone ? Rows(n) : parameter(node.bias);
    Rows y(ids_.size() * n);
    for (size_t row = 0; row < n; row++) {
      const double* w = weight.data() + row * k;
      for (size_t t = 0; t < ids_.size(); t++) {
        double sum = bias[row];
        for (size_t i = 0; i < k; i++) sum += x[t * k + i] * w[i];
        y[t * n + row] = sum;
      }
    }
    return y;
  }

  Rows rope(const Node& node) {
    const Rows frequency = parameter(node.frequency);
    const size_t half = frequency.size();
    const size_t width = width_of(node.output);
    Rows y = input(node, 0);
    for (size_t pair = 0; pair < y.size() / 2; pair++) {
      double* low = y.data() + pair / half * 2 * half + pair % half;
      const double angle = frequency[pair % half] * static_cast<double>(2 * pair / width);
      const double x = low[0];
      low[0] = x * std::cos(angle) - low[half] * std::sin(angle);
      low[half] = low[half] * std::cos(angle) + x * std::sin(angle);
    }
    return y;
  }

  Rows attention(const Node& node) {
    const auto width = static_cast<size_t>(node.head_width);
    const size_t query_width = width_of(node.output);
    const size_t key_width = width_of(node.inputs[1]);
    Rows y(ids_.size() * query_width);
    for (size_t t = 0; t < ids_.size(); t++) {
      for (size_t head = 0; head < static_cast<size_t>(node.heads); head++) {
        const size_t kv = head / static_cast<size_t>(node.heads / node.kv_heads) * width;
        const double* query = input(node, 0).data() + t * query_width + head * width;
        Rows weights;
        for (size_t s = 0; s <= t; s++) {
          const double* key = input(node, 1).data() + s * key_width + kv;
          double score = 0;
          for (size_t e = 0; e < width; e++) score += query[e] * key[e];
          weights.push_back(score / std::sqrt(static_cast<double>(width)));
        }
        const double most = std::ranges::max(weights);
        double sum = 0;
        for (double& weight : weights) sum += weight = std::exp(weight - most);
        for (size_t s = 0; s <= t; s++) {
          const double* value = input(node, 2).data() + s * key_width + kv;
          for (size_t e = 0; e < width; e++) y[t * query_width + head * width + e] += weights[s] / sum * value[e];
        }
      }
    }
    return y;
  }

  const Rows& input(const Node& node, size_t index) { return values_[static_cast<size_t>(node.inputs[index])]; }
  size_t width_of(ValueId value) const { return static_cast<size_t>(graph_.values[static_cast<size_t>(value)].width); }
  Rows parameter(ParameterId id) const {
    auto values = parameters_.materialise_double(id);
    EXPECT_TRUE(values.ok()) << values.error().message;
    return *std::move(values);
  }

  const Graph& graph_;
  const ParameterSource& parameters_;
  std::span<const int32_t> ids_;
  std::vector<Rows> values_;
};

}  // namespace

std::vector<double> double_logits(const Graph& graph, const ParameterSource& parameters, std::span<const int32_t> ids) {
  return DoublePlayer(graph, parameters, ids).play();
}

namespace {

TEST(DoubleLogits, AreTheFloatOnesMorePrecisely) {
  const auto checkpoint = Checkpoint::open(std::string(HOTARU_SOURCE_DIR) + "/tests/data/models/random-llama3");
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  const auto graph = build_graph(*checkpoint);
  ASSERT_TRUE(graph.ok());
  const ParameterSource parameters(&*graph, &checkpoint->tensors);
  const std::vector<int32_t> ids = {7, 300, 999, 7, 42};
  const Rows exact = double_logits(*graph, parameters, ids);
  ThreadPool pool(1);
  FloatExecutor executor(&*graph, &parameters, &pool);
  Rows rounded;
  ASSERT_TRUE(float_logits(executor, *graph, ids, [&rounded](int64_t, std::span<const float> row) {
                rounded.insert(rounded.end(), row.begin(), row.end());
              }).ok());
  ASSERT_EQ(exact.size(), rounded.size());
  double largest = 0;
  double difference = 0;
  for (size_t i = 0; i < exact.size(); i++) {
    largest = std::max(largest, std::fabs(exact[i]));
    difference = std::max(difference, std::fabs(exact[i] - rounded[i]));
  }
  EXPECT_LT(difference, 1e-5 * largest);
  EXPECT_GT(difference, 1e-9 * largest);  // the float executor is not good enough for the other bound
}

}  // namespace
}  // namespace hotaru
