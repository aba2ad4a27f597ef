#include "compiler/lower.h"

#include <algorithm>
#include <utility>

#include "compiler/block.h"
#include "compiler/har_model.h"
#include "compiler/lower_attention.h"
#include "compiler/lower_tensors.h"
#include "format/features.h"
#include "kernels/attention/attention.h"
#include "kernels/packed.h"

namespace hotaru {
namespace {

// Buffers of all programs, by id. A row holds:
enum BlockBuffer {
  kResidual,     // [D] f32
  kNormed,       // [D] u8
  kQkv,          // [(H + 2 G) E] f32
  kQuery,        // [H E] s8; its twin: coefficients of split keys
  kAttended,     // [H E] u8
  kGateUp,       // [2 F] f32
  kFfn,          // [F] u8
  kBlockBuffers  // their number; after them the 16-bit twins of those that some layer needs so
};
// The head program's, after these: copies of those that the bodies hand over, and [V] f32 logits.

std::unique_ptr<fb::BufferT> buffer(const std::string& name, uint64_t row_bytes, uint32_t rows) {
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
    const int last = static_cast<int>(graph_.shape.layers) - 1;
    for (int layer = 0; layer < last; layer++) {
      TRY_ASSIGN(const Block block, match_block(graph_, layer));
      TRY(lower_keys(block));
      TRY(lower_rest(block));
    }
    // Of the last block every token leaves keys and values; the rest of it serves the rows whose logits are wanted.
    TRY_ASSIGN(const Block block, match_block(graph_, last));
    TRY(lower_keys(block));
    const std::vector<fb::CallT> body = std::exchange(calls_, {});
    TRY(lower_rest(block));
    TRY(lower_head(ends, block));
    result_.meta.programs.push_back(body_program("prefill", kPrefillRows, body));
    result_.meta.programs.push_back(body_program("tbt", kTbtRows, body));
    result_.meta.programs.push_back(head_program());
    result_.meta.identity = std::make_unique<fb::ModelIdentityT>(model_.identity);
    result_.meta.shape = std::make_unique<fb::ModelShapeT>(shape_table(graph_.shape));
    result_.meta.quantisation = std::make_unique<fb::QuantisationInfoT>(model_.quantisation);
    result_.meta.generation = std::make_unique<fb::GenerationDefaultsT>(model_.generation);
    result_.meta.required_features = required_features(graph_);
    result_.meta.required_features.emplace_back(kFeatureLateBlock);
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

  static std::string place_of(const Block& block) { return fmt::format("layers.{}.", block.attention->layer); }

  // Up to the queries; keys and values lie in the KV pages then.
  Result<void> lower_keys(const Block& block) {
    TRY(check_heads(block));
    const std::string place = place_of(block);
    TRY(lower_norm(*block.norm1, {kResidual, codes(kNormed, block.norm1->output)}));
    TRY(lower_linear(place + "qkv", {block.q, block.k, block.v}, {codes(kNormed, block.q->inputs[0]), kQkv}));
    return lower_rope(place, block);
  }

  // From the queries to the residual stream.
  Result<void> lower_rest(const Block& block) {
    const std::string place = place_of(block);
    TRY(lower_attention(block));
    TRY(lower_linear(place + "o", {block.o}, {codes(kAttended, block.o->inputs[0]), kResidual}));
    TRY(lower_norm(*block.norm2, {kResidual, codes(kNormed, block.norm2->output)}));
    TRY(lower_linear(place + "gate_up", {block.gate, block.up}, {codes(kNormed, block.gate->inputs[0]), kGateUp}));
    TRY(lower_swiglu(*block.swiglu));
    return lower_linear(place + "down", {block.down}, {codes(kFfn, block.down->inputs[0]), kResidual});
  }

  // The buffer for a value's codes: `narrow` itself, or its 16-bit twin.
  int codes(BlockBuffer narrow, ValueId id) { return tensors_.bits(id) == 8 ? narrow : twin(narrow); }
  int twin(BlockBuffer narrow) {
    const auto found = std::ranges::find(wide_buffers_, narrow);
    const auto index = static_cast<int>(found - wide_buffers_.begin());
    if (found == wide_buffers_.end()) wide_buffers_.push_back(narrow);
    return kBlockBuffers + index;
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

  // Queries of qkv; its keys and values go into the layer's part of the KV pages.
  Result<void> lower_rope(const std::string& place, const Block& block) {
    TRY_ASSIGN(fb::RopeCallT call, attention_.rope(place + "rope", block));
    call.qkv_buffer = kQkv;
    call.query_buffer = kQuery;
    call.bias_query_buffer = bias_query(block);
    call.key_offset = key_offset(block);
    call.value_offset = call.key_offset + side_bytes();
    add_call(place + "rope", block.attention->layer, call);
    return {};
  }
  Result<void> lower_attention(const Block& block) {
    TRY_ASSIGN(fb::AttentionCallT call, attention_.attention(block));
    call.query_buffer = kQuery;
    call.bias_query_buffer = bias_query(block);
    call.output_buffer = codes(kAttended, block.attention->output);
    call.key_offset = key_offset(block);
    call.value_offset = call.key_offset + side_bytes();
    add_call(block.attention->name, block.attention->layer, call);
    return {};
  }
  int bias_query(const Block& block) { return block.attention->key_bias == kNone ? -1 : twin(kQuery); }

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

  // The head program: rows of what bodies hand over, what was lowered of the last block, and the logits.
  Result<void> lower_head(const Ends& ends, const Block& last) {
    handed_over_ = {kResidual, kQuery};
    if (bias_query(last) >= 0) handed_over_.push_back(bias_query(last));
    const std::vector<fb::CallT> rest = std::exchange(calls_, {});
    for (size_t i = 0; i < handed_over_.size(); i++) {
      constexpr uint8_t kBits[] = {32, 8, 16};
      fb::GatherCallT gather;
      gather.input_buffer = copy_of(i);
      gather.output_buffer = handed_over_[i];
      gather.bits = kBits[i];
      add_call("rows", last.attention->layer, gather);
    }
    calls_.insert(calls_.end(), rest.begin(), rest.end());
    TRY(lower_norm(*ends.norm, {kResidual, kNormed}));
    return lower_linear(ends.head->name, {ends.head}, {kNormed, copy_of(handed_over_.size())});
  }
  // Id of the head's copy of a buffer that is handed over; behind them, of the logits.
  [[nodiscard]] int copy_of(size_t handed) const {
    return kBlockBuffers + static_cast<int>(wide_buffers_.size() + handed);
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

  // The buffers that every block works in.
  [[nodiscard]] std::vector<std::unique_ptr<fb::BufferT>> block_buffers(uint32_t rows) const {
    const auto width = static_cast<uint64_t>(graph_.shape.width);
    const auto ffn_width = static_cast<uint64_t>(graph_.shape.ffn_width);
    const auto kv_width = static_cast<uint64_t>(graph_.shape.kv_heads * graph_.shape.head_width);
    const auto queries = static_cast<uint64_t>(query_width());
    std::vector<std::unique_ptr<fb::BufferT>> buffers(kBlockBuffers);
    buffers[kResidual] = buffer("residual", width * sizeof(float), rows);
    buffers[kNormed] = buffer("normed", width, rows);
    buffers[kQkv] = buffer("qkv", (queries + 2 * kv_width) * sizeof(float), rows);
    buffers[kQuery] = buffer("query", queries, rows);
    buffers[kAttended] = buffer("attended", queries, rows);
    buffers[kGateUp] = buffer("gate_up", 2 * ffn_width * sizeof(float), rows);
    buffers[kFfn] = buffer("ffn", ffn_width, rows);
    for (const BlockBuffer narrow : wide_buffers_) {
      const fb::BufferT& twin = *buffers[narrow];
      buffers.push_back(buffer(twin.name + "_16", 2 * twin.row_bytes, rows));
    }
    return buffers;
  }

  std::unique_ptr<fb::ProgramT> body_program(const char* name, uint32_t rows,
                                             const std::vector<fb::CallT>& calls) const {
    auto table = program(name, rows, calls);
    table->buffers = block_buffers(rows);
    // As large in every program: then they lie at the same place.
    for (const int id : handed_over_) table->buffers[static_cast<size_t>(id)]->rows = kPrefillRows;
    table->residual_buffer = handed_over_.front();
    table->shared_buffers.assign(handed_over_.begin() + 1, handed_over_.end());
    return table;
  }

  std::unique_ptr<fb::ProgramT> head_program() const {
    auto table = program("head", kHeadRows, calls_);
    table->buffers = block_buffers(kHeadRows);
    for (const int id : handed_over_) {  // any row of a prefill step may be asked for
      const fb::BufferT& rows = *table->buffers[static_cast<size_t>(id)];
      table->buffers.push_back(buffer("step_" + rows.name, rows.row_bytes, kPrefillRows));
    }
    table->residual_buffer = copy_of(0);
    for (size_t i = 1; i < handed_over_.size(); i++) table->shared_buffers.push_back(copy_of(i));
    const auto vocabulary = static_cast<uint64_t>(graph_.shape.vocabulary);
    table->logits_buffer = copy_of(handed_over_.size());
    table->buffers.push_back(buffer("logits", vocabulary * sizeof(float), kHeadRows));
    return table;
  }

  [[nodiscard]] uint8_t code_bits(ValueId id) const { return static_cast<uint8_t>(tensors_.bits(id)); }
  [[nodiscard]] const Value& value(ValueId id) const { return graph_.values[static_cast<size_t>(id)]; }
  [[nodiscard]] size_t kv_heads() const { return static_cast<size_t>(graph_.shape.kv_heads); }
  [[nodiscard]] uint64_t key_offset(const Block& block) const {
    return static_cast<uint64_t>(block.attention->layer) * 2 * side_bytes();
  }
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
  std::vector<BlockBuffer> wide_buffers_;
  std::vector<int> handed_over_;  // ids of what a body leaves to the head, the residual stream first
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
