#include "compiler/print_program.h"

#include <fmt/format.h>

#include <cstring>

namespace hotaru {
namespace {

const char* layout_name(fb::Layout layout) {
  switch (layout) {
    case fb::Layout::F32:
      return "f32";
    case fb::Layout::F64:
      return "f64";
    case fb::Layout::I32:
      return "i32";
    case fb::Layout::PackedInt4:
      return "int4";
    case fb::Layout::PackedInt8:
      return "int8";
    case fb::Layout::I16:
      return "i16";
    case fb::Layout::U8:
      return "u8";
  }
  return "?";
}

class Printer {
 public:
  Printer(const HefFile& hef, const fb::Program& program) : hef_(hef), program_(program) {}

  std::string run() {
    text_ = fmt::format("program {}: at most {} rows a step, {} calls\n", program_.name()->string_view(),
                        program_.max_rows(), program_.calls()->size());
    for (const fb::Buffer* buffer : *program_.buffers()) {
      const uint64_t end = buffer->offset() + buffer->row_bytes() * buffer->rows();
      text_ += fmt::format("buffer {}: {} rows of {} bytes at {} .. {}\n", buffer->name()->string_view(),
                           buffer->rows(), buffer->row_bytes(), buffer->offset(), end);
    }
    for (const fb::Call* call : *program_.calls()) {
      text_ += fmt::format("{}: {}\n", call->name()->string_view(), call_text(*call));
    }
    return std::move(text_);
  }

 private:
  [[nodiscard]] std::string call_text(const fb::Call& call) const {
    switch (call.operation_type()) {
      case fb::Operation::EmbedCall:
        return text_of(*call.operation_as_EmbedCall());
      case fb::Operation::GatherCall:
        return text_of(*call.operation_as_GatherCall());
      case fb::Operation::RmsNormCall:
        return text_of(*call.operation_as_RmsNormCall());
      case fb::Operation::LinearCall:
        return text_of(*call.operation_as_LinearCall());
      case fb::Operation::RopeCall:
        return text_of(*call.operation_as_RopeCall());
      case fb::Operation::AttentionCall:
        return text_of(*call.operation_as_AttentionCall());
      case fb::Operation::SwiGluCall:
        return text_of(*call.operation_as_SwiGluCall());
      case fb::Operation::NONE:
        break;
    }
    return "?";
  }

  [[nodiscard]] std::string text_of(const fb::EmbedCall& call) const {
    return fmt::format("{} = embed(ids; {})", buffer(call.output_buffer(), 4), tensor(call.table()));
  }
  [[nodiscard]] std::string text_of(const fb::GatherCall& call) const {
    return fmt::format("{} = gather(rows of {})", codes(call.output_buffer(), call.bits()),
                       codes(call.input_buffer(), call.bits()));
  }
  [[nodiscard]] std::string text_of(const fb::RmsNormCall& call) const {
    const std::string gamma = call.gamma() == -1 ? "" : ", " + tensor(call.gamma());
    return fmt::format("{} = rms_norm({}; epsilon {}{}) {}", codes(call.output_buffer(), call.output_bits()),
                       buffer(call.input_buffer(), 4), call.epsilon(), gamma, quantised(call));
  }
  [[nodiscard]] std::string text_of(const fb::LinearCall& call) const {
    return fmt::format("{} {} linear({} scale {} zero {}; {}{})", buffer(call.output_buffer(), 4),
                       call.add_to_output() ? "+=" : "=", codes(call.input_buffer(), call.input_bits()),
                       call.input_scale(), call.input_zero_point(), tensor(call.weight()),
                       call.bias() == -1 ? "" : ", bias");
  }
  [[nodiscard]] std::string text_of(const fb::RopeCall& call) const {
    const std::string norm =
        call.query_gamma() == -1 ? "" : fmt::format(", q norm, k norm, epsilon {}", call.epsilon());
    return fmt::format("{}{}, keys at {}, values at {} = rope({}; {}{}{}) query 1/{} key 1/{} + {} value 1/{} + {}",
                       buffer(call.query_buffer(), 1), bias_query(call.bias_query_buffer(), call.bias_terms()),
                       call.key_offset(), call.value_offset(), buffer(call.qkv_buffer(), 4), tensor(call.frequency()),
                       norm, call.key_shift() == -1 ? "" : ", key shift", numbers(call.query_inverse_scale()),
                       numbers(call.key_inverse_scale()), numbers(call.key_zero_point()),
                       numbers(call.value_inverse_scale()), numbers(call.value_zero_point()));
  }
  [[nodiscard]] std::string text_of(const fb::AttentionCall& call) const {
    const std::string prefix = call.prefix_key() == -1 ? "" : ", prefix " + tensor(call.prefix_key());
    return fmt::format("{} = attention({}{}, keys at {}, values at {}; score scale {}, value scale {}{}) {}",
                       codes(call.output_buffer(), call.output_bits()), buffer(call.query_buffer(), 1),
                       bias_query(call.bias_query_buffer(), call.key_constants()), call.key_offset(),
                       call.value_offset(), numbers(call.score_scale()), numbers(call.value_scale()), prefix,
                       quantised(call.output_bits(), call.output_inverse_scale(), call.output_zero_point()));
  }
  [[nodiscard]] std::string text_of(const fb::SwiGluCall& call) const {
    return fmt::format("{} = swiglu({}) {}", codes(call.output_buffer(), call.output_bits()),
                       buffer(call.input_buffer(), 4), quantised(call));
  }

  // Split keys: ", query_16 16-bit [T, 256] (layers.0.rope.bias_terms f32 [512])"
  [[nodiscard]] std::string bias_query(int id, int by) const {
    return id == -1 ? "" : fmt::format(", {} ({})", buffer(id, 2), tensor(by));
  }

  // "normed 8-bit [T, 256]", with the width in elements of `element_bytes`.
  [[nodiscard]] std::string buffer(int id, uint64_t element_bytes) const {
    constexpr const char* kKinds[] = {"?", "8-bit", "16-bit", "?", "f32"};
    const fb::Buffer* buffer = program_.buffers()->Get(static_cast<unsigned>(id));
    return fmt::format("{} {} [T, {}]", buffer->name()->string_view(), kKinds[element_bytes],
                       buffer->row_bytes() / element_bytes);
  }
  [[nodiscard]] std::string codes(int id, int bits) const { return buffer(id, static_cast<uint64_t>(bits) / 8); }

  [[nodiscard]] std::string tensor(int id) const {
    const fb::Tensor* tensor = hef_.meta().tensors()->Get(static_cast<unsigned>(id));
    std::string shape;
    for (const uint64_t extent : *tensor->shape()) shape += fmt::format("{}{}", shape.empty() ? "" : ", ", extent);
    return fmt::format("{} {} [{}]", tensor->name()->string_view(), layout_name(tensor->layout()), shape);
  }

  static std::string quantised(int bits, float inverse_scale, float zero_point) {
    return fmt::format("to u{} scale 1/{:.6g} zero {}", bits, inverse_scale, zero_point);
  }
  template <typename CallTable>
  static std::string quantised(const CallTable& call) {
    return quantised(call.output_bits(), call.inverse_scale(), call.zero_point());
  }

  // The vector's value, or its first and how many there are when they differ.
  [[nodiscard]] std::string numbers(int id) const {
    const auto bytes = hef_.tensor_bytes(id);
    std::vector<float> values(bytes.size() / sizeof(float));
    std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
    std::string text = fmt::format("{:.6g}", values.front());
    for (const float value : values) {
      if (value != values.front()) return fmt::format("{}... ({} values)", text, values.size());
    }
    return text;
  }

  const HefFile& hef_;
  const fb::Program& program_;
  std::string text_;
};

}  // namespace

std::string print_program(const HefFile& hef, const fb::Program& program) { return Printer(hef, program).run(); }

}  // namespace hotaru
