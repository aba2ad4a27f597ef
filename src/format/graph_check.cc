#include "format/graph_check.h"

#include <cmath>

#include "format/meta_check.h"

namespace hotaru {
namespace {

constexpr uint32_t kMaxItems = 1'000'000;

Result<void> check_value(const fb::GraphValue& value) {
  if (value.width() == 0 || value.width() > kMaxExtent) return invalid("width: got {}", value.width());
  if (value.bits() != 8 && value.bits() != 16) return invalid("bits: got {}, want 8 or 16", int{value.bits()});
  if (value.ranges() == nullptr) return {};
  for (const fb::StaticRange* range : *value.ranges()) {
    if (!std::isfinite(range->scale())) return invalid("a range's scale is not finite");
    if (range->zero_point() < -65536 || range->zero_point() > 65536) {
      return invalid("a range's zero point is {}", range->zero_point());
    }
  }
  return {};
}

// Tensor `id`, if any, has this layout and this many logical elements.
Result<void> check_part(const fb::Har& meta, std::string_view field, int id, fb::Layout layout, uint64_t count) {
  if (id == -1) return {};
  if (id < 0 || static_cast<unsigned>(id) >= meta.tensors()->size()) {
    return invalid("{}: got tensor {} of {}", field, id, meta.tensors()->size());
  }
  const fb::Tensor& tensor = *meta.tensors()->Get(static_cast<unsigned>(id));
  uint64_t found = 1;
  for (const uint64_t extent : *tensor.shape()) found *= extent;
  if (tensor.layout() == layout && found == count) return {};
  return invalid("{}: got {} {}, want {} {}", field, found, fb::EnumNameLayout(tensor.layout()), count,
                 fb::EnumNameLayout(layout));
}

// A quantised matrix is int4 or int8, of the parameter's own shape.
Result<void> check_packed(const fb::Har& meta, const fb::Parameter& parameter) {
  if (parameter.packed() == -1) return {};
  const unsigned count = meta.tensors()->size();
  if (parameter.packed() < 0 || static_cast<unsigned>(parameter.packed()) >= count) {
    return invalid("packed: got tensor {} of {}", parameter.packed(), count);
  }
  const fb::Tensor& tensor = *meta.tensors()->Get(static_cast<unsigned>(parameter.packed()));
  const bool is_packed = tensor.layout() == fb::Layout::PackedInt4 || tensor.layout() == fb::Layout::PackedInt8;
  if (is_packed && tensor.shape()->Get(0) == parameter.rows() && tensor.shape()->Get(1) == parameter.columns())
    return {};
  return invalid("packed: tensor '{}' is no packed matrix of [{}, {}]", text_of(tensor.name()), parameter.rows(),
                 parameter.columns());
}

Result<void> check_rewrite(const fb::Rewrite& rewrite, const fb::Parameter& parameter) {
  if (rewrite.kind() > fb::RewriteKind::MAX)
    return not_supported("rewrite {} is unknown", static_cast<int>(rewrite.kind()));
  if (rewrite.order() > kMaxExtent || rewrite.block() > kMaxExtent)
    return invalid("a rotation's size is beyond reason");
  const bool scales_rows =
      rewrite.kind() == fb::RewriteKind::ScaleRows || rewrite.kind() == fb::RewriteKind::PermuteRows;
  const bool scales_columns =
      rewrite.kind() == fb::RewriteKind::ScaleColumns || rewrite.kind() == fb::RewriteKind::PermuteColumns;
  const uint64_t count = rewrite.values() == nullptr ? 0 : rewrite.values()->size();
  if (count > 0 && !is_aligned(*rewrite.values())) return invalid("a rewrite's values are not aligned in the meta");
  const uint64_t want = scales_rows ? parameter.rows() : parameter.columns();
  if ((scales_rows || scales_columns) && count != want) return invalid("a rewrite has {} values, want {}", count, want);
  for (uint64_t i = 0; i < count; i++) {
    const double value = rewrite.values()->Get(static_cast<unsigned>(i));
    if (!std::isfinite(value)) return invalid("a rewrite's value {} is not finite", i);
  }
  return {};
}

Result<void> check_parameter(const fb::Har& meta, const fb::Parameter& parameter) {
  const uint64_t rows = parameter.rows();
  const uint64_t columns = parameter.columns();
  if (rows == 0 || rows > kMaxExtent || columns == 0 || columns > kMaxExtent) {
    return invalid("got the shape [{}, {}], want extents from 1 to {}", rows, columns, kMaxExtent);
  }
  TRY(check_packed(meta, parameter));
  TRY(check_part(meta, "row_scale", parameter.row_scale(), fb::Layout::F32, rows));
  TRY(check_part(meta, "row_sum", parameter.row_sum(), fb::Layout::I32, rows));
  if (parameter.values() != -1) {
    const auto floats = check_part(meta, "values", parameter.values(), fb::Layout::F32, rows * columns);
    const auto doubles = check_part(meta, "values", parameter.values(), fb::Layout::F64, rows * columns);
    if (!floats && !doubles) return floats;
  }
  if (parameter.rewrites() == nullptr) return {};
  for (const fb::Rewrite* rewrite : *parameter.rewrites()) TRY(check_rewrite(*rewrite, parameter));
  return {};
}

Result<void> check_node(const fb::Har& meta, const fb::Node& node) {
  const auto values = static_cast<int64_t>(meta.values()->size());
  const auto parameters = static_cast<int64_t>(meta.parameters()->size());
  if (node.kind() > fb::NodeKind::MAX) return not_supported("operation {} is unknown", static_cast<int>(node.kind()));
  if (node.inputs() != nullptr) {
    for (const int32_t input : *node.inputs()) {
      if (input < 0 || input >= values) return invalid("input: got value {} of {}", input, values);
    }
  }
  if (node.output() < 0 || node.output() >= values) return invalid("output: got value {} of {}", node.output(), values);
  for (const int32_t id : {node.weight(), node.bias(), node.frequency(), node.key_shift(), node.key_bias(),
                           node.prefix_key(), node.prefix_value(), node.input_shift()}) {
    if (id < -1 || id >= parameters) return invalid("got parameter {} of {}", id, parameters);
  }
  if (node.layer() < -1 || node.layer() > static_cast<int64_t>(meta.shape()->layers())) {
    return invalid("layer: got {}, want -1 to {}", node.layer(), meta.shape()->layers());
  }
  for (const float number : {node.epsilon(), node.attention_factor(), node.key_bias_reach()}) {
    if (!std::isfinite(number)) return invalid("a number is not finite");
  }
  if (node.heads() > kMaxExtent || node.kv_heads() > kMaxExtent || node.head_width() > kMaxExtent) {
    return invalid("its heads are beyond reason");
  }
  return {};
}

// Checks every item of a list that must be there; names the item in the error.
template <typename Items, typename Check>
Result<void> check_each(std::string_view kind, const Items* items, const Check& check) {
  if (items == nullptr) return invalid("the list of {}s is missing", kind);
  if (items->size() > kMaxItems) return invalid("got {} {}s, want at most {}", items->size(), kind, kMaxItems);
  for (const auto* item : *items) {
    auto checked = check(*item);
    if (!checked) return at(fmt::format("{} '{}'", kind, text_of(item->name())), std::move(checked).error());
  }
  return {};
}

}  // namespace

Result<void> check_graph(const fb::Har& meta) {
  TRY(check_each("value", meta.values(), check_value));
  TRY(check_each("parameter", meta.parameters(), [&](const fb::Parameter& p) { return check_parameter(meta, p); }));
  return check_each("node", meta.nodes(), [&](const fb::Node& node) { return check_node(meta, node); });
}

}  // namespace hotaru
