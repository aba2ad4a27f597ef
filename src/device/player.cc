#include "device/player.h"

#include <algorithm>
#include <optional>

#include "base/check.h"
#include "device/call_work.h"
#include "format/call_check.h"
#include "kernels/gated_linear/gated_linear.h"

namespace hotaru {
namespace {

// Resolves ids of one program to addresses.
class Resolver {
 public:
  Resolver(const fb::Program& program, const ProgramMemory& memory) : program_(program), memory_(memory) {
    const fb::ModelShape& shape = *memory.hef->meta().shape();
    heads_ = static_cast<int>(shape.query_heads());
    kv_heads_ = static_cast<int>(shape.kv_heads());
    head_width_ = static_cast<int>(shape.head_width());
  }

  Result<PlannedCall> resolve(const fb::Call& call) const {
    switch (call.operation_type()) {
      case fb::Operation::EmbedCall:
        return embed(*call.operation_as_EmbedCall());
      case fb::Operation::GatherCall:
        return PlannedCall(gather_args(*call.operation_as_GatherCall()));
      case fb::Operation::RmsNormCall:
        return rms_norm(*call.operation_as_RmsNormCall());
      case fb::Operation::LinearCall:
        return linear(*call.operation_as_LinearCall());
      case fb::Operation::RopeCall:
        return rope(*call.operation_as_RopeCall());
      case fb::Operation::AttentionCall:
        return attention(*call.operation_as_AttentionCall());
      case fb::Operation::SwiGluCall:
        return swiglu(*call.operation_as_SwiGluCall());
      case fb::Operation::NONE:
        break;
    }
    return not_supported("operation {} is unknown to this device", static_cast<int>(call.operation_type()));
  }

  // What follows the call: the low plane's turn of a linear with a 16-bit input, the high plane's of rows of one.
  std::optional<PlannedCall> resolve_second(const fb::Call& call) const {
    const fb::GatherCall* gather = call.operation_as_GatherCall();
    if (gather != nullptr && gather->bits() == 16) {
      GatherArgs args = gather_args(*gather);
      args.input += plane_bytes(gather->input_buffer());
      args.output += plane_bytes(gather->output_buffer());
      return PlannedCall(args);
    }
    const fb::LinearCall* linear = call.operation_as_LinearCall();
    if (linear == nullptr || linear->input_bits() == 8) return std::nullopt;
    return PlannedCall(int4_pass(*linear, Plane::kLow));
  }

  // What adapters add behind the call.
  [[nodiscard]] std::vector<PlannedAddition> additions(const fb::Call& call) const {
    const fb::LinearCall* linear = call.operation_as_LinearCall();
    if (linear == nullptr) return {};
    const CodePlanes input = planes(linear->input_buffer(), linear->input_bits());
    return memory_.adapters->additions({.call = linear,
                                        .input = input.low,
                                        .high = input.high,
                                        .output = buffer<float>(linear->output_buffer()),
                                        .inputs = dimension(linear->weight(), 1),
                                        .outputs = dimension(linear->weight(), 0)});
  }

  [[nodiscard]] std::vector<const void*> handed_over_buffers() const {
    std::vector<const void*> addresses;
    for (const int id : handed_over(program_)) addresses.push_back(buffer<std::byte>(id));
    return addresses;
  }

  // A buffer's address, or null for -1.
  template <typename T>
  [[nodiscard]] T* buffer(int id) const {
    if (id < 0) return nullptr;
    return reinterpret_cast<T*>(memory_.arena + program_.buffers()->Get(static_cast<unsigned>(id))->offset());
  }

 private:
  // A tensor's address in the mapped file, or null for -1.
  template <typename T>
  [[nodiscard]] const T* tensor(int id) const {
    if (id < 0) return nullptr;
    return reinterpret_cast<const T*>(memory_.hef->tensor_bytes(id).data());
  }
  [[nodiscard]] int dimension(int tensor_id, unsigned axis) const {
    return static_cast<int>(memory_.hef->meta().tensors()->Get(static_cast<unsigned>(tensor_id))->shape()->Get(axis));
  }
  // Where codes of so many bits go.
  [[nodiscard]] CodePlanes planes(int buffer_id, int bits) const {
    auto* low = buffer<uint8_t>(buffer_id);
    return {low, bits == 16 ? low + plane_bytes(buffer_id) : nullptr};
  }
  // Bytes of one of the two planes of 16-bit codes.
  [[nodiscard]] uint64_t plane_bytes(int buffer_id) const {
    const fb::Buffer* buffer = program_.buffers()->Get(static_cast<unsigned>(buffer_id));
    return buffer->row_bytes() / 2 * buffer->rows();
  }
  // Elements of `T` in one row of a buffer.
  template <typename T>
  [[nodiscard]] int row_width(int buffer_id) const {
    return static_cast<int>(program_.buffers()->Get(static_cast<unsigned>(buffer_id))->row_bytes() / sizeof(T));
  }
  Result<PlannedCall> embed(const fb::EmbedCall& call) const {
    EmbedArgs args;
    args.width = dimension(call.table(), 1);
    args.table = tensor<int8_t>(call.table());
    args.scale = tensor<float>(call.scale());
    args.output = buffer<float>(call.output_buffer());
    return PlannedCall(args);
  }

  // Whole rows, or of 16-bit codes the low plane.
  [[nodiscard]] GatherArgs gather_args(const fb::GatherCall& call) const {
    GatherArgs args;
    const auto row_bytes = static_cast<size_t>(row_width<std::byte>(call.output_buffer()));
    args.row_bytes = call.bits() == 16 ? row_bytes / 2 : row_bytes;
    args.input = buffer<std::byte>(call.input_buffer());
    args.output = buffer<std::byte>(call.output_buffer());
    return args;
  }

  Result<PlannedCall> rms_norm(const fb::RmsNormCall& call) const {
    RmsNormArgs args;
    args.width = row_width<float>(call.input_buffer());
    args.epsilon = call.epsilon();
    args.inverse_scale = call.inverse_scale();
    args.zero_point = call.zero_point();
    args.input = buffer<float>(call.input_buffer());
    args.gamma = tensor<float>(call.gamma());
    args.output = planes(call.output_buffer(), call.output_bits());
    return PlannedCall(args);
  }

  Result<PlannedCall> linear(const fb::LinearCall& call) const {
    const auto layout = memory_.hef->meta().tensors()->Get(static_cast<unsigned>(call.weight()))->layout();
    if (layout == fb::Layout::PackedInt4) {
      return PlannedCall(int4_pass(call, call.input_bits() == 16 ? Plane::kHigh : Plane::kOnly));
    }
    if (call.bias() >= 0 || call.add_to_output()) return not_supported("8-bit linear layers with bias or residual");
    LinearInt8Args args;
    fill_linear(call, args);
    args.weight = tensor<int8_t>(call.weight());
    return PlannedCall(args);
  }

  enum class Plane { kOnly, kHigh, kLow };

  // One plane of the input times the weights, as linear_int4.h defines it.
  [[nodiscard]] LinearInt4Args int4_pass(const fb::LinearCall& call, Plane plane) const {
    LinearInt4Args args;
    fill_linear(call, args);
    args.weight = tensor<uint8_t>(call.weight());
    args.bias = plane == Plane::kHigh ? nullptr : tensor<float>(call.bias());
    args.add_to_output = plane == Plane::kLow || call.add_to_output();
    if (plane == Plane::kHigh) args.input += plane_bytes(call.input_buffer());
    if (plane == Plane::kLow) {
      args.offset += args.outputs;
      args.scale += args.outputs;
    }
    return args;
  }

  template <typename Args>
  void fill_linear(const fb::LinearCall& call, Args& args) const {
    args.outputs = dimension(call.weight(), 0);
    args.inputs = dimension(call.weight(), 1);
    args.input = buffer<uint8_t>(call.input_buffer());
    args.offset = tensor<int32_t>(call.offset());
    args.scale = tensor<float>(call.scale());
    args.output = buffer<float>(call.output_buffer());
  }

  Result<PlannedCall> rope(const fb::RopeCall& call) const {
    const auto table = std::find_if(memory_.rope_tables.begin(), memory_.rope_tables.end(), [&](const RopeTable& t) {
      return t.frequency_tensor == call.frequency() && t.attention_factor == call.attention_factor();
    });
    CHECK(table != memory_.rope_tables.end());
    RopeArgs args;
    args.query_heads = heads_;
    args.kv_heads = kv_heads_;
    args.head_width = head_width_;
    args.epsilon = call.epsilon();
    args.qkv = buffer<float>(call.qkv_buffer());
    const size_t first_angle = static_cast<size_t>(memory_.prefix_tokens) * static_cast<size_t>(head_width_) / 2;
    args.cosine = table->cosine.data() + first_angle;
    args.sine = table->sine.data() + first_angle;
    args.query_gamma = tensor<float>(call.query_gamma());
    args.key_gamma = tensor<float>(call.key_gamma());
    args.key_shift = tensor<float>(call.key_shift());
    args.query_inverse_scale = tensor<float>(call.query_inverse_scale());
    args.key_inverse_scale = tensor<float>(call.key_inverse_scale());
    args.key_zero_point = tensor<float>(call.key_zero_point());
    args.value_inverse_scale = tensor<float>(call.value_inverse_scale());
    args.value_zero_point = tensor<float>(call.value_zero_point());
    args.query = buffer<int8_t>(call.query_buffer());
    args.key_offset = call.key_offset();
    args.value_offset = call.value_offset();
    args.bias_terms = tensor<float>(call.bias_terms());
    args.bias_inverse_scale = tensor<float>(call.bias_inverse_scale());
    args.bias_query = bias_query(call.bias_query_buffer());
    return PlannedCall(args);
  }

  // The coefficients of split keys, or none.
  [[nodiscard]] SignedPlanes bias_query(int buffer_id) const {
    if (buffer_id < 0) return {};
    auto* low = buffer<int8_t>(buffer_id);
    return {low, low + plane_bytes(buffer_id)};
  }

  [[nodiscard]] AttentionKeyBias key_bias(const fb::AttentionCall& call) const {
    if (call.bias_query_buffer() < 0) return {};
    const auto table = std::ranges::find_if(memory_.key_columns, [&](const KeyColumnTable& t) {
      return t.constants_tensor == call.key_constants() && t.frequency_tensor == call.frequency() &&
             t.attention_factor == call.attention_factor();
    });
    CHECK(table != memory_.key_columns.end());
    const SignedPlanes planes = bias_query(call.bias_query_buffer());
    return {planes.high, planes.low, table->columns.pages.data(), table->columns.prefix.data(),
            tensor<float>(call.bias_scale())};
  }

  Result<PlannedCall> attention(const fb::AttentionCall& call) const {
    AttentionArgs args;
    args.query_heads = heads_;
    args.kv_heads = kv_heads_;
    args.head_width = head_width_;
    args.max_context = memory_.context_tokens;
    args.query = buffer<int8_t>(call.query_buffer());
    args.key_offset = call.key_offset();
    args.value_offset = call.value_offset();
    args.score_scale = tensor<float>(call.score_scale());
    args.value_scale = tensor<float>(call.value_scale());
    args.value_zero_point = tensor<int32_t>(call.value_zero_point());
    args.output_inverse_scale = call.output_inverse_scale();
    args.output_zero_point = call.output_zero_point();
    args.output = planes(call.output_buffer(), call.output_bits());
    args.prefix = {memory_.prefix_tokens, tensor<int16_t>(call.prefix_key()), tensor<int16_t>(call.prefix_value()),
                   tensor<float>(call.prefix_score_scale()), tensor<float>(call.prefix_value_scale())};
    args.key_bias = key_bias(call);
    return PlannedCall(args);
  }

  Result<PlannedCall> swiglu(const fb::SwiGluCall& call) const {
    SwiGluArgs args;
    args.width = row_width<float>(call.input_buffer()) / 2;
    args.inverse_scale = call.inverse_scale();
    args.zero_point = call.zero_point();
    args.gate = buffer<float>(call.input_buffer());
    args.up = args.gate + args.width;
    args.input_stride = static_cast<size_t>(args.width) * 2;
    args.output = planes(call.output_buffer(), call.output_bits());
    args.output_stride = static_cast<size_t>(args.width);
    return PlannedCall(args);
  }

  const fb::Program& program_;
  const ProgramMemory& memory_;
  int heads_ = 0, kv_heads_ = 0, head_width_ = 0;
};

// Whether a thread may write products while another still reads activations: older compilers gave both the same bytes.
bool lie_apart(const LinearInt4Args& linear, const SwiGluArgs& swiglu, size_t rows) {
  const uint8_t* input_end = linear.input + rows * static_cast<size_t>(linear.inputs);
  const uint8_t* last_plane = swiglu.output.high != nullptr ? swiglu.output.high : swiglu.output.low;
  const uint8_t* output_end = last_plane + rows * static_cast<size_t>(swiglu.width);
  return input_end <= swiglu.output.low || output_end <= linear.input;
}

// By call: whether it and the next are a gated linear that can be played as one.
std::vector<bool> find_gates(const std::vector<PlannedCall>& calls, int max_rows) {
  std::vector<bool> gates(calls.size());
  for (size_t i = 0; i + 1 < calls.size(); i++) {
    const auto* linear = std::get_if<LinearInt4Args>(&calls[i]);
    const auto* swiglu = std::get_if<SwiGluArgs>(&calls[i + 1]);
    gates[i] = linear != nullptr && swiglu != nullptr && is_gated_linear(*linear, *swiglu) &&
               lie_apart(*linear, *swiglu, static_cast<size_t>(max_rows));
  }
  return gates;
}

// The buffer that a call reads, and the one it writes (the low plane, of two); null: none.
const void* read_by(const PlannedCall& call) {
  return std::visit(
      [](const auto& args) -> const void* {
        if constexpr (requires { args.input; }) return args.input;
        if constexpr (requires { args.gate; }) return args.gate;
        if constexpr (requires { args.qkv; }) return args.qkv;
        if constexpr (requires { args.score_scale; }) return args.query;
        return nullptr;
      },
      call);
}
const void* written_by(const PlannedCall& call) {
  return std::visit(
      [](const auto& args) -> const void* {
        if constexpr (requires { args.output.low; }) {
          return args.output.low;
        } else if constexpr (requires { args.output; }) {
          return args.output;
        } else {
          return args.query;
        }
      },
      call);
}

// By call: whether it is a gated linear whose products, of 8 bits, go to the linear behind it and nowhere else: their
// order is between the two. left: what a later program reads.
std::vector<bool> find_private_products(const PlannedProgram& program, const std::vector<const void*>& left) {
  const std::vector<PlannedCall>& calls = program.calls;
  std::vector<bool> is_private(calls.size());
  for (size_t i = 0; i + 2 < calls.size(); i++) {
    if (!program.gates[i]) continue;
    const CodePlanes products = std::get<SwiGluArgs>(calls[i + 1]).output;
    const auto* reader = std::get_if<LinearInt4Args>(&calls[i + 2]);
    if (products.high != nullptr || reader == nullptr || reader->input != products.low) continue;
    const auto is_touched = [&](const PlannedCall& call) {
      return read_by(call) == products.low || written_by(call) == products.low;
    };
    const auto next = std::find_if(calls.begin() + static_cast<std::ptrdiff_t>(i) + 3, calls.end(), is_touched);
    const bool is_left = next == calls.end() && std::ranges::find(left, products.low) != left.end();
    is_private[i] = !is_left && (next == calls.end() || read_by(*next) != products.low);
  }
  return is_private;
}

// Whether adapters add something behind the call in this step.
bool adds(const PlannedProgram& program, const StepInputs& inputs, size_t call) {
  return !inputs.adapter_runs.empty() && !program.additions[call].empty();
}

// Whether the call is played with the next one: nothing is added between them.
bool plays_gated(const PlannedProgram& program, const StepInputs& inputs, size_t call) {
  return program.gates[call] && !adds(program, inputs, call);
}

// Whether the products of a gated linear go to the next call as token tiles (packed.h). An adapter reads rows.
bool plays_tiled(const PlannedProgram& program, const StepInputs& inputs, size_t call, const KernelSet& kernels) {
  const size_t rows = padded_tokens(static_cast<size_t>(inputs.tokens));
  return program.private_products[call] && plays_gated(program, inputs, call) && !adds(program, inputs, call + 2) &&
         can_tile_products(kernels, inputs.tokens) && rows <= static_cast<size_t>(program.max_rows);
}

size_t call_workspace(const PlannedCall& call, int tokens) {
  if (const auto* args = std::get_if<LinearInt4Args>(&call)) return linear_workspace_bytes(tokens, args->inputs);
  if (const auto* args = std::get_if<LinearInt8Args>(&call)) return linear_workspace_bytes(tokens, args->inputs);
  if (const auto* args = std::get_if<AttentionArgs>(&call)) {
    return attention_workspace_bytes(args->max_context, args->head_width);
  }
  return 0;
}

// Completes the arguments of one call with the step's fields and runs it. One overload per op: which fields an op
// takes.
struct CallPlayer {
  const StepInputs& step;
  const PlayingThread& thread;
  bool reads_tiles;

  void operator()(EmbedArgs args) const {
    args.tokens = step.tokens;
    args.id = step.id;
    thread.kernels->embed(args, thread.slice);
  }
  void operator()(GatherArgs args) const {
    args.tokens = step.tokens;
    args.row = step.row;
    thread.kernels->gather(args, thread.slice);
  }
  void operator()(RmsNormArgs args) const {
    args.tokens = step.tokens;
    thread.kernels->rms_norm(args, thread.slice);
  }
  void operator()(LinearInt4Args args) const {
    args.tokens = step.tokens;
    args.is_tiled = reads_tiles;
    args.workspace = thread.workspace;
    thread.kernels->linear_int4(args, thread.slice);
  }
  void operator()(LinearInt8Args args) const {
    args.tokens = step.tokens;
    args.workspace = thread.workspace;
    thread.kernels->linear_int8(args, thread.slice);
  }
  void operator()(RopeArgs args) const {
    args.tokens = step.tokens;
    args.position = step.position;
    args.pages = step.pages;
    thread.kernels->rope(args, thread.slice);
  }
  void operator()(AttentionArgs args) const {
    args.tokens = step.tokens;
    args.position = step.position;
    args.pages = step.pages;
    args.workspace = thread.workspace;
    thread.kernels->attention(args, thread.slice);
  }
  void operator()(SwiGluArgs args) const {
    args.tokens = step.tokens;
    thread.kernels->swiglu(args, thread.slice);
  }
};

}  // namespace

Result<PlannedProgram> plan_program(const fb::Program& program, const ProgramMemory& memory) {
  const Resolver resolver(program, memory);
  PlannedProgram planned;
  planned.name = program.name()->str();
  planned.max_rows = static_cast<int>(program.max_rows());
  planned.logits = resolver.buffer<float>(program.logits_buffer());
  planned.calls.reserve(program.calls()->size());
  for (const fb::Call* call : *program.calls()) {
    auto resolved = resolver.resolve(*call);
    const std::string name = call->name() == nullptr ? "" : call->name()->str();
    if (!resolved) {
      return at(fmt::format("program '{}' call '{}'", planned.name, name), std::move(resolved).error());
    }
    planned.calls.push_back(*std::move(resolved));
    if (const auto second = resolver.resolve_second(*call)) planned.calls.push_back(*second);
    planned.call_names.resize(planned.calls.size(), name);
    planned.additions.resize(planned.calls.size());
    planned.additions.back() = resolver.additions(*call);
  }
  planned.gates = find_gates(planned.calls, planned.max_rows);
  planned.private_products = find_private_products(planned, resolver.handed_over_buffers());
  return planned;
}

size_t workspace_bytes(const PlannedProgram& program) {
  size_t bytes = 0;
  for (size_t i = 0; i < program.calls.size(); i++) {
    bytes = std::max(bytes, call_workspace(program.calls[i], program.max_rows));
    if (!program.gates[i]) continue;
    const auto& linear = std::get<LinearInt4Args>(program.calls[i]);
    bytes = std::max(bytes, gated_linear_workspace_bytes(program.max_rows, linear.inputs));
  }
  for (const auto& additions : program.additions) {
    for (const auto& [adapter, args] : additions) {
      bytes = std::max(bytes, low_rank_workspace_bytes(program.max_rows, args.inputs, args.rank));
    }
  }
  return bytes;
}

int begin_step(const PlannedProgram& program, const StepInputs& inputs, size_t step, int threads, Isa isa) {
  const size_t i = step / 2;
  if (step % 2 == 1) return adds(program, inputs, i) ? threads : 0;
  if (i > 0 && plays_gated(program, inputs, i - 1)) return 0;
  // Attention deals blocks of rows and heads to its parts, and reads keys and values once a part.
  const int parts = parts_of(work_of(program.calls[i], inputs), threads, isa);
  return std::holds_alternative<AttentionArgs>(program.calls[i]) ? std::min(parts, threads) : parts;
}

void play_step(const PlannedProgram& program, const StepInputs& inputs, size_t step, const PlayingThread& thread) {
  const size_t i = step / 2;
  if (step % 2 == 0 && plays_gated(program, inputs, i)) {
    GatedLinearArgs args{std::get<LinearInt4Args>(program.calls[i]), std::get<SwiGluArgs>(program.calls[i + 1])};
    args.linear.tokens = args.swiglu.tokens = inputs.tokens;
    args.linear.workspace = thread.workspace;
    args.is_tiled = plays_tiled(program, inputs, i, *thread.kernels);
    play_gated_linear(args, *thread.kernels, thread.slice);
  } else if (step % 2 == 0) {
    const bool reads_tiles = i >= 2 && plays_tiled(program, inputs, i - 2, *thread.kernels);
    std::visit(CallPlayer{inputs, thread, reads_tiles}, program.calls[i]);
  } else {
    play_additions(program.additions[i], inputs.adapter_runs, {thread.kernels, thread.workspace, thread.slice});
  }
}

}  // namespace hotaru
