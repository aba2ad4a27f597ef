#include "compiler/lower.h"

#include <algorithm>

#include "compiler/block.h"
#include "compiler/har_model.h"
#include "compiler/lower_attention.h"
#include "compiler/lower_tensors.h"
#include "kernels/attention/attention.h"
#include "kernels/packed.h"

namespace hotaru {
namespace {

// Buffers of the body programs (prefill, tbt), by id. A row holds:
enum BodyBuffer {
  kResidual,    // [D] f32
  kNormed,      // [D] u8
  kQkv,         // [(H + 2 G) E] f32
  kQuery,       // [H E] s8; its twin: coefficients of split keys
  kAttended,    // [H E] u8
  kGateUp,      // [2 F] f32
  kFfn,         // [F] u8
  kBodyBuffers  // their number; after them the 16-bit twins of those that some layer needs so
};
// Buffers of the head program.
enum HeadBuffer { kStepResidual, kRows, kHeadInput, kLogits };

std::unique_ptr<fb::BufferT> buffer(const char* name, uint64_t row_bytes, uint32_t rows) {
  auto table = std::make_unique<fb::BufferT>();
  table->name = name;
  table->row_bytes = row_bytes;
  table->rows = rows;
  return table;
}

class Lowering {
 public:
  explicit Lowering(const OptimisedModel& model)
      : model_(model), graph_(model.graph), tensors_(model), attention_(graph_, tensors_) {}

  Result<LoweredModel> run(int64_t context_tokens) {
    TRY(check_sizes(graph_.shape));
    TRY(plan_kv(context_tokens));
    TRY_ASSIGN(const Ends ends, match_ends(graph_));
    TRY(lower_embed(*ends.embed));
    for (int layer = 0; layer < graph_.shape.layers; layer++) TRY(lower_block(layer));
    std::vector<fb::CallT> body = std::move(calls_);
    calls_.clear();
    TRY(lower_head(ends));
    result_.meta.programs.push_back(body_program("prefill", kPrefillRows, body));
    result_.meta.programs.push_back(body_program("tbt", kTbtRows, body));
    result_.meta.programs.push_back(head_program());
    result_.meta.identity = std::make_unique<fb::ModelIdentityT>(model_.identity);
    result_.meta.shape = std::make_unique<fb::ModelShapeT>(shape_table(graph_.shape));
    result_.meta.quantisation = std::make_unique<fb::QuantisationInfoT>(model_.quantisation);
    result_.meta.generation = std::make_unique<fb::GenerationDefaultsT>(model_.generation);
    result_.meta.required_features = required_features(graph_);
    result_.tensors = tensors_.take();
    return std::move(result_);
  }

 private:
  Result<void> plan_kv(int64_t context_tokens) {
    const auto prefix_tokens = static_cast<int64_t>(graph_.prefix.size());
    const int64_t positions = graph_.shape.max_positions - prefix_tokens;
    if (context_tokens == 0) context_tokens = std::min(kDefaultContext, positions);
    if (context_tokens < 1 || context_tokens > positions) {
      return invalid("context: got {} tokens, want 1 to {}, the model's positions{}", context_tokens, positions,
                     prefix_tokens == 0 ? "" : " after its prefix tokens");
    }
    if (context_tokens + prefix_tokens > kMaxAttentionContext) {
      return not_supported("context: got {} tokens, want at most {}", context_tokens,
                           kMaxAttentionContext - prefix_tokens);
    }
    result_.meta.kv = std::make_unique<fb::KvPlanT>();
    fb::KvPlanT& kv = *result_.meta.kv;
    kv.page_tokens = kPageTokens;
    kv.page_bytes = static_cast<uint64_t>(graph_.shape.layers) * 2 * side_bytes();
    kv.pages = static_cast<uint32_t>((context_tokens + kPageTokens - 1) / kPageTokens);
    kv.context_tokens = static_cast<uint32_t>(context_tokens);
    kv.position_offset = static_cast<uint32_t>(prefix_tokens);
    result_.meta.prefix = graph_.prefix;
    return {};
  }

  Result<void> lower_embed(const Node& node) {
    fb::EmbedCallT call;
    TRY_ASSIGN(call.table, tensors_.matrix(node.weight, fb::Layout::PackedInt8));
    TRY_ASSIGN(call.scale, tensors_.row_scales(node.weight));
    call.output_buffer = kResidual;
    add_call(node.name, -1, call);
    return {};
  }

  Result<void> lower_block(int layer) {
    TRY_ASSIGN(const Block block, match_block(graph_, layer));
    TRY(check_heads(block));
    const std::string place = fmt::format("layers.{}.", layer);
    TRY(lower_norm(*block.norm1, {kResidual, codes(kNormed, block.norm1->output)}));
    TRY(lower_linear(place + "qkv", {block.q, block.k, block.v}, {codes(kNormed, block.q->inputs[0]), kQkv}));
    TRY(lower_attention(place, block));
    TRY(lower_linear(place + "o", {block.o}, {codes(kAttended, block.o->inputs[0]), kResidual}));
    TRY(lower_norm(*block.norm2, {kResidual, codes(kNormed, block.norm2->output)}));
    TRY(lower_linear(place + "gate_up", {block.gate, block.up}, {codes(kNormed, block.gate->inputs[0]), kGateUp}));
    TRY(lower_swiglu(*block.swiglu));
    return lower_linear(place + "down", {block.down}, {codes(kFfn, block.down->inputs[0]), kResidual});
  }

  // The buffer for a value's codes: `narrow` itself, or its 16-bit twin.
  int codes(BodyBuffer narrow, ValueId id) { return tensors_.bits(id) == 8 ? narrow : twin(narrow); }
  int twin(BodyBuffer narrow) {
    const auto found = std::ranges::find(wide_buffers_, narrow);
    const auto index = static_cast<int>(found - wide_buffers_.begin());
    if (found == wide_buffers_.end()) wide_buffers_.push_back(narrow);
    return kBodyBuffers + index;
  }

  Result<void> check_heads(const Block& block) const {
    const GraphShape& shape = graph_.shape;
    const Node& node = *block.attention;
    if (node.heads == shape.query_heads && node.kv_heads == shape.kv_heads && node.head_width == shape.head_width &&
        value(block.swiglu->output).width == shape.ffn_width && value(block.norm1->output).width == shape.width) {
      return {};
    }
    return invalid("'{}': the block's sizes are not the model's", node.name);
  }

  struct Route {
    int from;
    int to;
  };

  Result<void> lower_norm(const Node& node, Route route) {
    fb::RmsNormCallT call;
    TRY_ASSIGN(const StaticRange range, tensors_.wide_range(node.output));
    TRY_ASSIGN(call.gamma, tensors_.values(node.weight, fb::Layout::F32));
    call.input_buffer = route.from;
    call.output_buffer = route.to;
    call.output_bits = code_bits(node.output);
    call.epsilon = node.epsilon;
    call.inverse_scale = 1.0F / range.scale;
    call.zero_point = static_cast<float>(range.zero_point);
    add_call(node.name, node.layer, call);
    return {};
  }

  // Into the residual stream a linear adds; elsewhere it writes.
  Result<void> lower_linear(const std::string& name, const std::vector<const Node*>& parts, Route route) {
    const bool is_head = parts[0]->layer == graph_.shape.layers;
    const fb::Layout layout = is_head ? fb::Layout::PackedInt8 : fb::Layout::PackedInt4;
    TRY_ASSIGN(const LinearTensors linear, tensors_.linear(name, parts, layout));
    fb::LinearCallT call;
    call.input_buffer = route.from;
    call.weight = linear.weight;
    call.offset = linear.offset;
    call.scale = linear.scale;
    call.bias = linear.bias;
    call.output_buffer = route.to;
    call.add_to_output = !is_head && route.to == kResidual;
    call.input_bits = static_cast<uint8_t>(linear.input_bits);
    call.input_scale = linear.input.scale;
    call.input_zero_point = linear.input.zero_point;
    call.site = name;
    add_call(name, parts[0]->layer, call);
    return {};
  }

  // Queries, keys and values of qkv, then attention over the layer's part of the KV pages.
  Result<void> lower_attention(const std::string& place, const Block& block) {
    TRY_ASSIGN(fb::RopeCallT rope, attention_.rope(place + "rope", block));
    const int layer = block.attention->layer;
    rope.qkv_buffer = kQkv;
    rope.query_buffer = kQuery;
    if (block.attention->key_bias != kNone) rope.bias_query_buffer = twin(kQuery);
    rope.key_offset = static_cast<uint64_t>(layer) * 2 * side_bytes();
    rope.value_offset = rope.key_offset + side_bytes();
    add_call(place + "rope", layer, rope);
    TRY_ASSIGN(fb::AttentionCallT call, attention_.attention(block));
    call.query_buffer = rope.query_buffer;
    call.bias_query_buffer = rope.bias_query_buffer;
    call.output_buffer = codes(kAttended, block.attention->output);
    call.key_offset = rope.key_offset;
    call.value_offset = rope.value_offset;
    add_call(block.attention->name, layer, call);
    return {};
  }

  Result<void> lower_swiglu(const Node& node) {
    fb::SwiGluCallT call;
    TRY_ASSIGN(const StaticRange range, tensors_.wide_range(node.output));
    call.input_buffer = kGateUp;
    call.output_buffer = codes(kFfn, node.output);
    call.output_bits = code_bits(node.output);
    call.inverse_scale = 1.0F / range.scale;
    call.zero_point = static_cast<float>(range.zero_point);
    add_call(node.name, node.layer, call);
    return {};
  }

  Result<void> lower_head(const Ends& ends) {
    fb::GatherCallT gather;
    gather.input_buffer = kStepResidual;
    gather.output_buffer = kRows;
    add_call("rows", static_cast<int>(graph_.shape.layers), gather);
    TRY(lower_norm(*ends.norm, {kRows, kHeadInput}));
    return lower_linear(ends.head->name, {ends.head}, {kHeadInput, kLogits});
  }

  template <typename CallTable>
  void add_call(const std::string& name, int layer, const CallTable& operation) {
    fb::CallT call;
    call.name = name;
    call.layer = layer;
    call.operation.Set(CallTable(operation));
    calls_.push_back(std::move(call));
  }

  std::unique_ptr<fb::ProgramT> program(const char* name, uint32_t rows, const std::vector<fb::CallT>& calls) const {
    auto table = std::make_unique<fb::ProgramT>();
    table->name = name;
    table->max_rows = rows;
    for (const fb::CallT& call : calls) table->calls.push_back(std::make_unique<fb::CallT>(call));
    return table;
  }

  std::unique_ptr<fb::ProgramT> body_program(const char* name, uint32_t rows,
                                             const std::vector<fb::CallT>& calls) const {
    auto table = program(name, rows, calls);
    const auto width = static_cast<uint64_t>(graph_.shape.width);
    const auto ffn_width = static_cast<uint64_t>(graph_.shape.ffn_width);
    const auto kv_width = static_cast<uint64_t>(graph_.shape.kv_heads * graph_.shape.head_width);
    const auto queries = static_cast<uint64_t>(query_width());
    table->buffers.resize(kBodyBuffers);
    table->buffers[kResidual] = buffer("residual", width * sizeof(float), rows);
    table->buffers[kNormed] = buffer("normed", width, rows);
    table->buffers[kQkv] = buffer("qkv", (queries + 2 * kv_width) * sizeof(float), rows);
    table->buffers[kQuery] = buffer("query", queries, rows);
    table->buffers[kAttended] = buffer("attended", queries, rows);
    table->buffers[kGateUp] = buffer("gate_up", 2 * ffn_width * sizeof(float), rows);
    table->buffers[kFfn] = buffer("ffn", ffn_width, rows);
    for (const BodyBuffer narrow : wide_buffers_) {
      const fb::BufferT& twin = *table->buffers[narrow];
      table->buffers.push_back(buffer((twin.name + "_16").c_str(), 2 * twin.row_bytes, rows));
    }
    table->residual_buffer = kResidual;
    return table;
  }

  std::unique_ptr<fb::ProgramT> head_program() const {
    auto table = program("head", kHeadRows, calls_);
    const auto width = static_cast<uint64_t>(graph_.shape.width);
    const auto vocabulary = static_cast<uint64_t>(graph_.shape.vocabulary);
    // The residual stream of a prefill step: any of its rows may be asked for.
    table->buffers.push_back(buffer("residual", width * sizeof(float), kPrefillRows));
    table->buffers.push_back(buffer("rows", width * sizeof(float), kHeadRows));
    table->buffers.push_back(buffer("normed", width, kHeadRows));
    table->buffers.push_back(buffer("logits", vocabulary * sizeof(float), kHeadRows));
    table->residual_buffer = kStepResidual;
    table->logits_buffer = kLogits;
    return table;
  }

  [[nodiscard]] uint8_t code_bits(ValueId id) const { return static_cast<uint8_t>(tensors_.bits(id)); }
  [[nodiscard]] const Value& value(ValueId id) const { return graph_.values[static_cast<size_t>(id)]; }
  [[nodiscard]] size_t kv_heads() const { return static_cast<size_t>(graph_.shape.kv_heads); }
  [[nodiscard]] int64_t query_width() const { return graph_.shape.query_heads * graph_.shape.head_width; }
  // Keys (or values) of one layer in a page: [G][64 tokens of E channels].
  [[nodiscard]] uint64_t side_bytes() const {
    return kv_heads() * page_side_bytes(static_cast<size_t>(graph_.shape.head_width));
  }

  const OptimisedModel& model_;
  const Graph& graph_;
  LoweredTensors tensors_;
  AttentionLowering attention_;
  std::vector<fb::CallT> calls_;
  std::vector<BodyBuffer> wide_buffers_;
  LoweredModel result_;
};

}  // namespace

Result<void> check_sizes(const GraphShape& shape) {
  const std::pair<const char*, int64_t> divisible[] = {
      {"hidden size", shape.width},
      {"ffn width", shape.ffn_width},
      {"heads times head width", shape.query_heads * shape.head_width}};
  for (const auto& [what, size] : divisible) {
    if (size % kGroupInputs != 0) return not_supported("{}: got {}, want a multiple of {}", what, size, kGroupInputs);
  }
  if (shape.head_width % kRowsPerBlock != 0) {
    return not_supported("head width: got {}, want a multiple of {}", shape.head_width, kRowsPerBlock);
  }
  return {};
}

Result<LoweredModel> lower(const OptimisedModel& model, int64_t context_tokens) {
  return Lowering(model).run(context_tokens);
}

}  // namespace hotaru
