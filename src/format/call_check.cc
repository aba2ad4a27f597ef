#include "format/call_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "format/meta_check.h"
#include "format/program_check.h"

namespace hotaru {
namespace {

constexpr int64_t kMaxCode = 255;
constexpr int64_t kMaxInt4Product = kMaxCode * 8 * 15;  // activation, |code|, multiplier
constexpr int64_t kMaxInt8Product = kMaxCode * 128;

Result<const fb::Tensor*> find_tensor(const ProgramScope& scope, std::string_view field, int id) {
  const unsigned count = scope.meta->tensors()->size();
  if (id < 0 || static_cast<unsigned>(id) >= count) return invalid("{}: got tensor {} of {}", field, id, count);
  return scope.meta->tensors()->Get(static_cast<unsigned>(id));
}

// A tensor of this layout and total number of elements.
Result<const fb::Tensor*> find_vector(const ProgramScope& scope, std::string_view field, int id, fb::Layout layout,
                                      uint64_t count) {
  TRY_ASSIGN(const fb::Tensor* tensor, find_tensor(scope, field, id));
  if (tensor->layout() != layout) {
    return invalid("{}: tensor '{}' is {}, want {}", field, text_of(tensor->name()),
                   fb::EnumNameLayout(tensor->layout()), fb::EnumNameLayout(layout));
  }
  uint64_t found = 1;
  for (const uint64_t extent : *tensor->shape()) found *= extent;  // the tensor's bytes were computed from it
  if (found != count)
    return invalid("{}: tensor '{}' has {} values, want {}", field, text_of(tensor->name()), found, count);
  return tensor;
}

Result<void> check_optional_vector(const ProgramScope& scope, std::string_view field, int id, fb::Layout layout,
                                   uint64_t count) {
  if (id == -1) return {};
  TRY(find_vector(scope, field, id, layout, count));
  return {};
}

Result<void> check_finite(std::string_view field, float value) {
  if (!std::isfinite(value)) return invalid("{}: got {}, want a finite number", field, value);
  return {};
}

Result<uint64_t> code_bytes(std::string_view field, int bits) {
  if (bits != 8 && bits != 16) return invalid("{}: got {}, want 8 or 16", field, bits);
  return static_cast<uint64_t>(bits / 8);
}

Result<void> check_epsilon(float epsilon) {
  if (!(epsilon >= 0) || !std::isfinite(epsilon)) return invalid("epsilon: got {}, want a number from 0", epsilon);
  return {};
}

Result<void> check(const ProgramScope& scope, const fb::EmbedCall& call) {
  if (scope.is_output) return invalid("an output program has no token ids");
  const fb::ModelShape& shape = *scope.meta->shape();
  TRY_ASSIGN(const fb::Tensor* table, find_tensor(scope, "table", call.table()));
  if (table->layout() != fb::Layout::PackedInt8 || table->shape()->Get(0) != shape.vocabulary()) {
    return invalid("table: tensor '{}': want an 8-bit matrix of {} rows", text_of(table->name()), shape.vocabulary());
  }
  TRY(find_vector(scope, "scale", call.scale(), fb::Layout::F32, shape.vocabulary()));
  TRY(find_buffer(scope, "output_buffer", call.output_buffer(), table->shape()->Get(1) * sizeof(float)));
  return {};
}

Result<void> check(const ProgramScope& scope, const fb::GatherCall& call) {
  if (!scope.is_output) return invalid("only an output program has rows of a finished step");
  if (call.bits() != 8 && call.bits() != 16 && call.bits() != 32) {
    return invalid("bits: got {}, want 8, 16 or 32", call.bits());
  }
  const std::vector<int> handed = handed_over(*scope.program);
  if (std::ranges::find(handed, call.input_buffer()) == handed.end()) {
    return invalid("input_buffer: want the residual stream or a shared buffer, got {}", call.input_buffer());
  }
  const fb::Buffer* input = scope.program->buffers()->Get(static_cast<unsigned>(call.input_buffer()));
  if (input->rows() < scope.step_rows) return invalid("input_buffer: want room for {} rows", scope.step_rows);
  if (input->row_bytes() % (call.bits() / 8) != 0) {
    return invalid("input_buffer: {} bytes a row are no whole values of {} bits", input->row_bytes(), call.bits());
  }
  TRY(find_buffer(scope, "output_buffer", call.output_buffer(), input->row_bytes()));
  return {};
}

// Input and output widths of the row-wise ops follow from one buffer; `find_buffer` then fixes the other.
Result<uint64_t> float_width(const ProgramScope& scope, std::string_view field, int id) {
  TRY_ASSIGN(const fb::Buffer* buffer, find_buffer(scope, field, id));
  const uint64_t row_bytes = buffer->row_bytes();
  if (row_bytes % sizeof(float) != 0) return invalid("{}: {} bytes a row are no whole floats", field, row_bytes);
  return row_bytes / sizeof(float);
}

Result<void> check(const ProgramScope& scope, const fb::RmsNormCall& call) {
  TRY_ASSIGN(const uint64_t width, float_width(scope, "input_buffer", call.input_buffer()));
  TRY_ASSIGN(const uint64_t bytes, code_bytes("output_bits", call.output_bits()));
  TRY(check_optional_vector(scope, "gamma", call.gamma(), fb::Layout::F32, width));
  TRY(check_epsilon(call.epsilon()));
  TRY(check_finite("inverse_scale", call.inverse_scale()));
  TRY(check_finite("zero_point", call.zero_point()));
  TRY(find_buffer(scope, "output_buffer", call.output_buffer(), width * bytes));
  return {};
}

Result<void> check(const ProgramScope& scope, const fb::SwiGluCall& call) {
  TRY_ASSIGN(const uint64_t width, float_width(scope, "input_buffer", call.input_buffer()));
  TRY_ASSIGN(const uint64_t bytes, code_bytes("output_bits", call.output_bits()));
  if (width % 2 != 0) return invalid("input_buffer: {} values are no pairs of gate and up", width);
  TRY(check_finite("inverse_scale", call.inverse_scale()));
  TRY(check_finite("zero_point", call.zero_point()));
  TRY(find_buffer(scope, "output_buffer", call.output_buffer(), width / 2 * bytes));
  return {};
}

// |offset| plus the largest possible sum of products stays within int32.
Result<void> check_accumulator(const ProgramScope& scope, const fb::Tensor& offset, int64_t largest_sum) {
  const int64_t room = INT32_MAX - largest_sum;
  const auto bytes = scope.weights.subspan(offset.offset(), offset.bytes());
  for (size_t i = 0; i < bytes.size() / sizeof(int32_t); i++) {
    int32_t value = 0;
    std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
    if (std::abs(int64_t{value}) > room) {
      return invalid("offset: tensor '{}' value {} is {}: the 32-bit sum could overflow", text_of(offset.name()), i,
                     value);
    }
  }
  return {};
}

Result<void> check(const ProgramScope& scope, const fb::LinearCall& call) {
  TRY_ASSIGN(const fb::Tensor* weight, find_tensor(scope, "weight", call.weight()));
  const bool is_int4 = weight->layout() == fb::Layout::PackedInt4;
  if (!is_int4 && weight->layout() != fb::Layout::PackedInt8) {
    return invalid("weight: tensor '{}' is {}, want a packed matrix", text_of(weight->name()),
                   fb::EnumNameLayout(weight->layout()));
  }
  const uint64_t outputs = weight->shape()->Get(0);
  const uint64_t inputs = weight->shape()->Get(1);
  if (inputs % 32 != 0) return invalid("weight: {} inputs are no multiple of 32", inputs);
  TRY_ASSIGN(const uint64_t bytes, code_bytes("input_bits", call.input_bits()));
  if (bytes > 1 && !is_int4) return invalid("input_bits: got {} for an 8-bit matrix, want 8", call.input_bits());
  const uint64_t passes = bytes;  // one for each plane
  TRY_ASSIGN(const fb::Tensor* offset, find_vector(scope, "offset", call.offset(), fb::Layout::I32, passes * outputs));
  TRY(check_accumulator(scope, *offset, static_cast<int64_t>(inputs) * (is_int4 ? kMaxInt4Product : kMaxInt8Product)));
  TRY(find_vector(scope, "scale", call.scale(), fb::Layout::F32, passes * outputs));
  TRY(check_optional_vector(scope, "bias", call.bias(), fb::Layout::F32, outputs));
  TRY(check_finite("input_scale", call.input_scale()));
  TRY(find_buffer(scope, "input_buffer", call.input_buffer(), inputs * bytes));
  TRY(find_buffer(scope, "output_buffer", call.output_buffer(), outputs * sizeof(float)));
  return {};
}

// One layer's keys (or values) inside a KV page.
Result<void> check_page_offset(const ProgramScope& scope, std::string_view field, uint64_t offset) {
  const fb::ModelShape& shape = *scope.meta->shape();
  const uint64_t page_bytes = scope.meta->kv()->page_bytes();
  const uint64_t side_bytes = uint64_t{shape.kv_heads()} * shape.head_width() * kPlannedPageTokens;
  if (offset % kTensorAlignment != 0 || offset > page_bytes || side_bytes > page_bytes - offset) {
    return invalid("{}: {} bytes from {} lie outside a KV page of {}, or off a multiple of 64", field, side_bytes,
                   offset, page_bytes);
  }
  return {};
}

Result<void> check_heads(const ProgramScope& scope) {
  const uint64_t width = scope.meta->shape()->head_width();
  if (width % 16 != 0) return invalid("head_width: got {}, want a multiple of 16", width);
  return {};
}

// Split keys: what rope makes of the queries and what attention does with it, all of it or none.
Result<void> check_bias_query(const ProgramScope& scope, int buffer, std::span<const int> others) {
  const auto is_there = [](int id) { return id != -1; };
  if (buffer == -1 && std::none_of(others.begin(), others.end(), is_there)) return {};
  const fb::ModelShape& shape = *scope.meta->shape();
  TRY(find_buffer(scope, "bias_query_buffer", buffer, 2 * uint64_t{shape.query_heads()} * shape.head_width()));
  return {};
}

Result<void> check_split(const ProgramScope& scope, const fb::RopeCall& call) {
  TRY(check_bias_query(scope, call.bias_query_buffer(), std::array{call.bias_terms(), call.bias_inverse_scale()}));
  if (call.bias_query_buffer() == -1) return {};
  const fb::ModelShape& shape = *scope.meta->shape();
  const uint64_t terms = 2 * uint64_t{shape.kv_heads()} * shape.head_width();
  TRY(find_vector(scope, "bias_terms", call.bias_terms(), fb::Layout::F32, terms));
  TRY(find_vector(scope, "bias_inverse_scale", call.bias_inverse_scale(), fb::Layout::F32, shape.query_heads()));
  return {};
}

Result<void> check_split(const ProgramScope& scope, const fb::AttentionCall& call) {
  constexpr uint64_t kMaxSplitHeadWidth = 512;  // kernels/attention/attention.h
  TRY(check_bias_query(scope, call.bias_query_buffer(),
                       std::array{call.key_constants(), call.bias_scale(), call.frequency()}));
  if (call.bias_query_buffer() == -1) return {};
  const fb::ModelShape& shape = *scope.meta->shape();
  const uint64_t width = shape.head_width();
  if (width > kMaxSplitHeadWidth) {
    return invalid("key_constants: got heads of {}, want at most {}", width, kMaxSplitHeadWidth);
  }
  TRY(find_vector(scope, "key_constants", call.key_constants(), fb::Layout::F32, 2 * width));
  TRY(find_vector(scope, "bias_scale", call.bias_scale(), fb::Layout::F32, shape.query_heads()));
  TRY(find_vector(scope, "frequency", call.frequency(), fb::Layout::F64, width / 2));
  return check_finite("attention_factor", call.attention_factor());
}

Result<void> check(const ProgramScope& scope, const fb::RopeCall& call) {
  if (scope.is_output) return invalid("an output program stores no keys and values");
  TRY(check_heads(scope));
  const fb::ModelShape& shape = *scope.meta->shape();
  const uint64_t query_heads = shape.query_heads();
  const uint64_t kv_heads = shape.kv_heads();
  const uint64_t width = shape.head_width();
  TRY(find_vector(scope, "frequency", call.frequency(), fb::Layout::F64, width / 2));
  TRY(check_finite("attention_factor", call.attention_factor()));
  TRY(check_epsilon(call.epsilon()));
  TRY(check_optional_vector(scope, "query_gamma", call.query_gamma(), fb::Layout::F32, width));
  TRY(check_optional_vector(scope, "key_gamma", call.key_gamma(), fb::Layout::F32, width));
  TRY(check_optional_vector(scope, "key_shift", call.key_shift(), fb::Layout::F32, kv_heads * width));
  TRY(find_vector(scope, "query_inverse_scale", call.query_inverse_scale(), fb::Layout::F32, query_heads));
  TRY(find_vector(scope, "key_inverse_scale", call.key_inverse_scale(), fb::Layout::F32, kv_heads));
  TRY(find_vector(scope, "key_zero_point", call.key_zero_point(), fb::Layout::F32, kv_heads));
  TRY(find_vector(scope, "value_inverse_scale", call.value_inverse_scale(), fb::Layout::F32, kv_heads));
  TRY(find_vector(scope, "value_zero_point", call.value_zero_point(), fb::Layout::F32, kv_heads));
  TRY(check_page_offset(scope, "key_offset", call.key_offset()));
  TRY(check_page_offset(scope, "value_offset", call.value_offset()));
  TRY(find_buffer(scope, "qkv_buffer", call.qkv_buffer(), (query_heads + 2 * kv_heads) * width * sizeof(float)));
  TRY(find_buffer(scope, "query_buffer", call.query_buffer(), query_heads * width));
  return check_split(scope, call);
}

// Zero points are s8 codes: larger ones could overflow the sum over a context.
Result<void> check_value_zero_points(const ProgramScope& scope, const fb::Tensor& tensor) {
  const auto bytes = scope.weights.subspan(tensor.offset(), tensor.bytes());
  for (size_t i = 0; i < bytes.size() / sizeof(int32_t); i++) {
    int32_t value = 0;
    std::memcpy(&value, bytes.data() + i * sizeof(value), sizeof(value));
    if (value < -128 || value > 127) return invalid("value_zero_point: got {}, want -128 to 127", value);
  }
  return {};
}

// Constants for every prefix token of the plan, small enough for their 32-bit sums.
Result<void> check_prefix(const ProgramScope& scope, const fb::AttentionCall& call) {
  constexpr uint64_t kMaxPrefixHeadWidth = 512;  // kernels/attention/attention.h
  const fb::ModelShape& shape = *scope.meta->shape();
  const uint64_t tokens = scope.meta->kv()->position_offset();
  if (tokens == 0) {
    if (call.prefix_key() == -1 && call.prefix_value() == -1) return {};
    return invalid("prefix_key: got constants, but the KV plan has no prefix tokens");
  }
  const uint64_t count = tokens * shape.kv_heads() * shape.head_width();
  if (shape.head_width() > kMaxPrefixHeadWidth) {
    return invalid("prefix_key: got heads of {}, want at most {}", shape.head_width(), kMaxPrefixHeadWidth);
  }
  TRY(find_vector(scope, "prefix_key", call.prefix_key(), fb::Layout::I16, count));
  TRY(find_vector(scope, "prefix_value", call.prefix_value(), fb::Layout::I16, count));
  TRY(find_vector(scope, "prefix_score_scale", call.prefix_score_scale(), fb::Layout::F32, shape.query_heads()));
  TRY(find_vector(scope, "prefix_value_scale", call.prefix_value_scale(), fb::Layout::F32, shape.kv_heads()));
  return {};
}

Result<void> check(const ProgramScope& scope, const fb::AttentionCall& call) {
  TRY(check_heads(scope));
  const fb::ModelShape& shape = *scope.meta->shape();
  const uint64_t query_width = uint64_t{shape.query_heads()} * shape.head_width();
  TRY(check_page_offset(scope, "key_offset", call.key_offset()));
  TRY(check_page_offset(scope, "value_offset", call.value_offset()));
  TRY(find_vector(scope, "score_scale", call.score_scale(), fb::Layout::F32, shape.query_heads()));
  TRY(find_vector(scope, "value_scale", call.value_scale(), fb::Layout::F32, shape.kv_heads()));
  TRY_ASSIGN(const fb::Tensor* zero_points,
             find_vector(scope, "value_zero_point", call.value_zero_point(), fb::Layout::I32, shape.kv_heads()));
  TRY(check_value_zero_points(scope, *zero_points));
  TRY(check_prefix(scope, call));
  TRY(check_split(scope, call));
  TRY(check_finite("output_inverse_scale", call.output_inverse_scale()));
  TRY(check_finite("output_zero_point", call.output_zero_point()));
  TRY_ASSIGN(const uint64_t bytes, code_bytes("output_bits", call.output_bits()));
  TRY(find_buffer(scope, "query_buffer", call.query_buffer(), query_width));
  TRY(find_buffer(scope, "output_buffer", call.output_buffer(), query_width * bytes));
  return {};
}

}  // namespace

Result<const fb::Buffer*> find_buffer(const ProgramScope& scope, std::string_view field, int id) {
  const auto* buffers = scope.program->buffers();
  if (id >= 0 && static_cast<unsigned>(id) < buffers->size()) return buffers->Get(static_cast<unsigned>(id));
  return invalid("{}: got buffer {} of {}", field, id, buffers->size());
}

Result<const fb::Buffer*> find_buffer(const ProgramScope& scope, std::string_view field, int id, uint64_t row_bytes) {
  TRY_ASSIGN(const fb::Buffer* buffer, find_buffer(scope, field, id));
  if (buffer->row_bytes() == row_bytes) return buffer;
  return invalid("{}: buffer '{}' has {} bytes a row, want {}", field, text_of(buffer->name()), buffer->row_bytes(),
                 row_bytes);
}

std::vector<int> handed_over(const fb::Program& program) {
  std::vector<int> ids = {program.residual_buffer()};
  if (const auto* shared = program.shared_buffers()) ids.insert(ids.end(), shared->begin(), shared->end());
  return ids;
}

Result<void> check_call(const ProgramScope& scope, const fb::Call& call) {
  if (call.operation() == nullptr) return invalid("its operation is missing");
  switch (call.operation_type()) {
    case fb::Operation::EmbedCall:
      return check(scope, *call.operation_as_EmbedCall());
    case fb::Operation::GatherCall:
      return check(scope, *call.operation_as_GatherCall());
    case fb::Operation::RmsNormCall:
      return check(scope, *call.operation_as_RmsNormCall());
    case fb::Operation::LinearCall:
      return check(scope, *call.operation_as_LinearCall());
    case fb::Operation::RopeCall:
      return check(scope, *call.operation_as_RopeCall());
    case fb::Operation::AttentionCall:
      return check(scope, *call.operation_as_AttentionCall());
    case fb::Operation::SwiGluCall:
      return check(scope, *call.operation_as_SwiGluCall());
    case fb::Operation::NONE:
      break;
  }
  return not_supported("operation {} is unknown", static_cast<int>(call.operation_type()));
}

}  // namespace hotaru
