#include "compiler/float_executor.h"

#include <algorithm>
#include <map>

#include "base/check.h"
#include "compiler/float_nodes.h"
#include "compiler/float_ops.h"
#include "compiler/float_weights.h"

namespace hotaru {
namespace {

// Logits held at once (32 MiB), by rows between these two.
constexpr size_t kLogitElements = size_t{1} << 23;
constexpr size_t kMostLogitRows = 256;
constexpr size_t kFewestLogitRows = 16;

}  // namespace

struct FloatExecutor::State {
  State(const Graph* graph_in, const ParameterSource* parameters_in, ThreadPool* pool_in, size_t cache_bytes)
      : graph(graph_in),
        parameters(parameters_in),
        pool(pool_in),
        weights(graph_in, parameters_in, cache_bytes),
        player(graph_in, &weights, pool_in),
        width(static_cast<size_t>(graph_in->shape.width)) {}

  Result<void> check(const SegmentBatch& wanted) const;
  Result<void> embed();
  [[nodiscard]] std::span<const Node> nodes_of(int layer) const {
    const Graph::Range range = graph->layer_nodes(layer);
    return std::span(graph->nodes).subspan(range.begin, range.end - range.begin);
  }
  [[nodiscard]] std::span<float> rows_of(const TokenChunk& chunk) {
    return std::span(residual).subspan(chunk.begin * width, chunk.tokens * width);
  }
  [[nodiscard]] std::vector<size_t> shown_rows(const TokenChunk& chunk) const;
  void show_logits(const Node& head, const TokenChunk& chunk, const float* input, const LogitSink& sink);

  const Graph* graph;
  const ParameterSource* parameters;
  ThreadPool* pool;
  FloatWeights weights;
  NodePlayer player;
  size_t width;
  SegmentBatch batch;
  std::vector<TokenChunk> chunks;
  std::vector<float> residual;  // [tokens, D]
  int next_layer = 0;
};

Result<void> FloatExecutor::State::check(const SegmentBatch& wanted) const {
  int64_t tokens = 0;
  int64_t root_tokens = 0;
  CHECK(wanted.shared.empty() || wanted.shared.size() == wanted.lengths.size());
  CHECK(wanted.shown_from.empty() || wanted.shown_from.size() == wanted.lengths.size());
  for (size_t i = 0; i < wanted.lengths.size(); i++) {
    const int64_t shared = wanted.shared.empty() ? 0 : wanted.shared[i];
    const int64_t most = graph->shape.max_positions - static_cast<int64_t>(graph->prefix.size());
    if (wanted.lengths[i] < 1 || wanted.lengths[i] + shared > most) {
      return invalid("segment {}: got {} tokens, want [1, {}]", i, wanted.lengths[i] + shared, most);
    }
    if (shared == 0) root_tokens = wanted.lengths[i];
    CHECK_LE(shared, root_tokens);
    tokens += wanted.lengths[i];
  }
  CHECK_EQ(tokens, static_cast<int64_t>(wanted.ids.size()));
  for (size_t i = 0; i < wanted.ids.size(); i++) {
    if (wanted.ids[i] >= 0 && wanted.ids[i] < graph->shape.vocabulary) continue;
    return invalid("token {}: got id {}, want [0, {})", i, wanted.ids[i], graph->shape.vocabulary);
  }
  return {};
}

// Each id's row once; the whole table only where it is kept anyway.
Result<void> FloatExecutor::State::embed() {
  const std::span<const Node> nodes = nodes_of(-1);
  CHECK_EQ(nodes.size(), size_t{1});
  CHECK(nodes[0].kind == NodeKind::kEmbed);
  if (weights.keeps_all()) TRY(weights.load(nodes));
  std::map<int32_t, size_t> first_row;  // of an id that was met before
  residual.resize(batch.ids.size() * width);
  for (size_t token = 0; token < batch.ids.size(); token++) {
    const int32_t id = batch.ids[token];
    float* row = residual.data() + token * width;
    if (weights.keeps_all()) {
      std::copy_n(weights.data(nodes[0].weight) + static_cast<size_t>(id) * width, width, row);
      continue;
    }
    const auto [met, is_new] = first_row.try_emplace(id, token);
    if (is_new) {
      TRY_ASSIGN(const std::vector<float> values, parameters->materialise_rows(nodes[0].weight, {id, id + 1}));
      std::copy(values.begin(), values.end(), row);
    } else {
      std::copy_n(residual.data() + met->second * width, width, row);
    }
  }
  return {};
}

// Rows of the chunk whose logits are wanted.
std::vector<size_t> FloatExecutor::State::shown_rows(const TokenChunk& chunk) const {
  std::vector<size_t> rows;
  const auto segment = static_cast<size_t>(chunk.lengths.data() - batch.lengths.data());
  size_t begin = 0;
  for (size_t i = 0; i < chunk.lengths.size(); i++) {
    const size_t end = begin + static_cast<size_t>(chunk.lengths[i]);
    const size_t from = batch.shown_from.empty() ? 0 : static_cast<size_t>(batch.shown_from[segment + i]);
    for (size_t row = begin + from; row < end; row++) rows.push_back(row);
    begin = end;
  }
  return rows;
}

void FloatExecutor::State::show_logits(const Node& head, const TokenChunk& chunk, const float* input,
                                       const LogitSink& sink) {
  const auto vocabulary = static_cast<size_t>(graph->values[static_cast<size_t>(head.output)].width);
  const size_t step = std::clamp(kLogitElements / vocabulary, kFewestLogitRows, kMostLogitRows);
  const std::vector<size_t> shown = shown_rows(chunk);
  std::vector<float> logits(std::min(step, shown.size()) * vocabulary);
  std::vector<float> gathered;
  for (size_t first = 0; first < shown.size(); first += step) {
    const size_t rows = std::min(step, shown.size() - first);
    gathered.clear();
    for (size_t row = 0; row < rows; row++) {
      gathered.insert(gathered.end(), input + shown[first + row] * width, input + (shown[first + row] + 1) * width);
    }
    float_linear(*pool, {.x = gathered.data(),
                         .w = weights.data(head.weight),
                         .bias = weights.data(head.bias),
                         .y = logits.data(),
                         .rows = rows,
                         .n = vocabulary,
                         .k = width});
    for (size_t row = 0; row < rows; row++) {
      sink(static_cast<int64_t>(chunk.begin + shown[first + row]),
           std::span(logits).subspan(row * vocabulary, vocabulary));
    }
  }
}

FloatExecutor::FloatExecutor(const Graph* graph, const ParameterSource* parameters, ThreadPool* pool,
                             size_t cache_bytes)
    : state_(std::make_unique<State>(graph, parameters, pool, cache_bytes)) {}

FloatExecutor::~FloatExecutor() = default;

Result<void> FloatExecutor::begin(SegmentBatch batch) {
  TRY(state_->check(batch));
  state_->batch = std::move(batch);
  state_->chunks = cut_chunks(state_->batch.lengths, state_->batch.shared);
  int64_t longest = 0;
  for (size_t i = 0; i < state_->batch.lengths.size(); i++) {
    const int64_t shared = state_->batch.shared.empty() ? 0 : state_->batch.shared[i];
    longest = std::max(longest, state_->batch.lengths[i] + shared);
  }
  state_->player.cover_positions(static_cast<size_t>(longest));
  state_->next_layer = 0;
  return state_->embed();
}

Result<void> FloatExecutor::run_layer(int layer, const ValueObserver& observer) {
  CHECK_EQ(layer, state_->next_layer);
  CHECK_LT(layer, state_->graph->shape.layers);
  const std::span<const Node> nodes = state_->nodes_of(layer);
  TRY(state_->weights.load(nodes));
  for (const TokenChunk& chunk : state_->chunks) {
    const std::span<float> rows = state_->rows_of(chunk);
    const std::span<const float> output = state_->player.play(nodes, chunk, rows, observer);
    CHECK_EQ(output.size(), rows.size());
    std::copy(output.begin(), output.end(), rows.begin());
  }
  state_->weights.release();
  state_->next_layer++;
  return {};
}

Result<void> FloatExecutor::finish(const LogitSink& sink, const ValueObserver& observer) {
  CHECK_EQ(state_->next_layer, state_->graph->shape.layers);
  const std::span<const Node> nodes = state_->nodes_of(state_->next_layer);
  CHECK(!nodes.empty() && nodes.back().kind == NodeKind::kLinear);
  const std::span<const Node> before_head = nodes.first(nodes.size() - 1);
  TRY(state_->weights.load(sink ? nodes : before_head));
  for (const TokenChunk& chunk : state_->chunks) {
    const std::span<const float> input = state_->player.play(before_head, chunk, state_->rows_of(chunk), observer);
    if (sink) state_->show_logits(nodes.back(), chunk, input.data(), sink);
  }
  state_->weights.release();
  return {};
}

std::span<const float> FloatExecutor::residual() const { return state_->residual; }

Result<void> float_logits(FloatExecutor& executor, const Graph& graph, std::span<const int32_t> ids,
                          const LogitSink& sink) {
  SegmentBatch batch;
  batch.ids.assign(ids.begin(), ids.end());
  if (!ids.empty()) batch.lengths = {static_cast<int64_t>(ids.size())};
  TRY(executor.begin(std::move(batch)));
  for (int layer = 0; layer < graph.shape.layers; layer++) TRY(executor.run_layer(layer));
  return executor.finish(sink);
}

}  // namespace hotaru
