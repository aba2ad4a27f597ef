#include "compiler/lower_tensors.h"

#include <cmath>
#include <cstring>

#include "kernels/packed.h"

namespace hotaru {
namespace {

constexpr int64_t kMaxActivation = 255;

// No order of adding can leave int32: |offset| + K * 255 * max |m q| (NUMERICS 1). The loader asks the same.
Result<void> prove_no_overflow(const std::string& name, const std::vector<int32_t>& offsets, int64_t inputs,
                               fb::Layout layout) {
  const int64_t product = layout == fb::Layout::PackedInt4 ? int64_t{8} * kMaxMultiplier : 128;
  for (const int32_t offset : offsets) {
    if (std::abs(int64_t{offset}) + inputs * kMaxActivation * product > INT32_MAX) {
      return not_supported("'{}': {} inputs could overflow a 32-bit sum", name, inputs);
    }
  }
  return {};
}

}  // namespace

Result<StaticRange> LoweredTensors::range(ValueId id, size_t head) const {
  if (bits(id) == 8) return wide_range(id, head);
  return not_supported("'{}': got {} bits, want 8", model_.graph.values[static_cast<size_t>(id)].name, bits(id));
}

Result<StaticRange> LoweredTensors::wide_range(ValueId id, size_t head) const {
  const Value& value = model_.graph.values[static_cast<size_t>(id)];
  if (value.ranges.empty()) {
    return invalid("'{}' has no static range: the model was optimised without the pass 'calibrate'", value.name);
  }
  if (value.bits != 8 && value.bits != 16) {
    return not_supported("'{}': got {} bits, want 8 or 16", value.name, value.bits);
  }
  if (value.ranges.size() == 1) return value.ranges[0];
  if (head >= value.ranges.size()) {
    return invalid("'{}': got {} static ranges, want one more than {}", value.name, value.ranges.size(), head);
  }
  return value.ranges[head];
}

Result<void> LoweredTensors::check_matrix(ParameterId id, fb::Layout layout) const {
  const StoredParameter& parts = stored(id);
  const std::string& name = parameter(id).name;
  if (parts.packed == -1 || parts.row_scale == -1 || parts.row_sum == -1) {
    return invalid("'{}' is not quantised", name);
  }
  const fb::Layout found = model_.tensors[static_cast<size_t>(parts.packed)].layout;
  if (found == layout) return {};
  return invalid("'{}': got {}, want {}", name, fb::EnumNameLayout(found), fb::EnumNameLayout(layout));
}

template <typename T>
Result<std::vector<T>> LoweredTensors::stored_vector(ParameterId id, int tensor, size_t count) const {
  if (tensor == -1) return invalid("'{}' has no values", parameter(id).name);
  const auto bytes = model_.bytes(tensor);
  if (bytes.size() != count * sizeof(T)) {
    return invalid("'{}': got {} bytes, want {} values", parameter(id).name, bytes.size(), count);
  }
  std::vector<T> values(count);
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

int LoweredTensors::add_bytes(TensorHeader header, std::span<const std::byte> bytes) {
  tensors_.push_back({std::move(header), {}, {bytes.begin(), bytes.end()}});
  return static_cast<int>(tensors_.size()) - 1;
}

int LoweredTensors::add(const std::string& name, const std::vector<float>& values) {
  return add_bytes({name, fb::Layout::F32, {values.size()}}, std::as_bytes(std::span(values)));
}

int LoweredTensors::add(const std::string& name, const std::vector<int32_t>& values) {
  return add_bytes({name, fb::Layout::I32, {values.size()}}, std::as_bytes(std::span(values)));
}

int LoweredTensors::add(const std::string& name, const std::vector<uint64_t>& shape,
                        const std::vector<int16_t>& values) {
  return add_bytes({name, fb::Layout::I16, shape}, std::as_bytes(std::span(values)));
}

Result<std::vector<float>> LoweredTensors::floats(ParameterId id) const {
  const auto count = static_cast<size_t>(parameter(id).rows * parameter(id).columns);
  return stored_vector<float>(id, stored(id).values, count);
}

Result<std::vector<double>> LoweredTensors::doubles(ParameterId id) const {
  const auto count = static_cast<size_t>(parameter(id).rows * parameter(id).columns);
  return stored_vector<double>(id, stored(id).values, count);
}

int LoweredTensors::keep(int stored_id, const std::string& name) {
  const auto [place, is_new] = kept_.try_emplace(stored_id, static_cast<int>(tensors_.size()));
  if (is_new) {
    const TensorHeader& header = model_.tensors[static_cast<size_t>(stored_id)];
    tensors_.push_back({{name, header.layout, header.shape}, {stored_id}, {}});
  }
  return place->second;
}

Result<int> LoweredTensors::matrix(ParameterId id, fb::Layout layout) {
  TRY(check_matrix(id, layout));
  return keep(stored(id).packed, parameter(id).name);
}

Result<int> LoweredTensors::row_scales(ParameterId id) {
  if (stored(id).row_scale == -1) return invalid("'{}' is not quantised", parameter(id).name);
  return keep(stored(id).row_scale, parameter(id).name + ".row_scale");
}

Result<int> LoweredTensors::values(ParameterId id, fb::Layout layout) {
  if (id == kNone) return -1;
  const int tensor = stored(id).values;
  if (tensor == -1) return invalid("'{}' has no values", parameter(id).name);
  if (model_.tensors[static_cast<size_t>(tensor)].layout != layout) {
    return invalid("'{}': want {}", parameter(id).name, fb::EnumNameLayout(layout));
  }
  return keep(tensor, parameter(id).name);
}

Result<int> LoweredTensors::weight(const std::string& name, const std::vector<const Node*>& parts, fb::Layout layout) {
  if (parts.size() == 1) return matrix(parts[0]->weight, layout);
  LoweredTensor fused;
  uint64_t rows = 0;
  for (const Node* node : parts) {
    TRY(check_matrix(node->weight, layout));
    const Parameter& part = parameter(node->weight);
    if (part.rows % kRowsPerBlock != 0) {
      return not_supported("'{}': got {} rows, want a multiple of {}", part.name, part.rows, kRowsPerBlock);
    }
    fused.stored.push_back(stored(node->weight).packed);
    rows += static_cast<uint64_t>(part.rows);
  }
  fused.header = {name + ".weight", layout, {rows, static_cast<uint64_t>(parameter(parts[0]->weight).columns)}};
  tensors_.push_back(std::move(fused));
  return static_cast<int>(tensors_.size()) - 1;
}

// Parts without a bias add zero when another has one.
Result<int> LoweredTensors::bias(const std::string& name, const std::vector<const Node*>& parts) {
  std::vector<float> joined;
  bool has_bias = false;
  for (const Node* node : parts) {
    const auto rows = static_cast<size_t>(parameter(node->weight).rows);
    if (node->bias == kNone) {
      joined.resize(joined.size() + rows);
      continue;
    }
    has_bias = true;
    TRY_ASSIGN(const auto part, stored_vector<float>(node->bias, stored(node->bias).values, rows));
    joined.insert(joined.end(), part.begin(), part.end());
  }
  return has_bias ? add(name + ".bias", joined) : -1;
}

// linear_int4.h: two for 16-bit inputs, the high one first.
Result<std::vector<LoweredTensors::Plane>> LoweredTensors::planes_of(const std::string& name,
                                                                     const LinearTensors& linear, fb::Layout layout) {
  const auto [scale, zero_point] = linear.input;
  if (linear.input_bits == 8) return std::vector<Plane>{{scale, zero_point}};
  if (layout != fb::Layout::PackedInt4) return not_supported("'{}': got a 16-bit input, want 8 bits", name);
  if (zero_point < 0 || zero_point > 65535) {
    return invalid("'{}': its input's zero point is {}, want 0 to 65535", name, zero_point);
  }
  return std::vector<Plane>{{256 * scale, zero_point / 256}, {scale, zero_point % 256}};
}

Result<void> LoweredTensors::append_epilogue(const Node& node, const Plane& plane, Epilogue& epilogue) const {
  const auto rows = static_cast<size_t>(parameter(node.weight).rows);
  TRY_ASSIGN(const auto row_scale, stored_vector<float>(node.weight, stored(node.weight).row_scale, rows));
  TRY_ASSIGN(const auto row_sum, stored_vector<int32_t>(node.weight, stored(node.weight).row_sum, rows));
  for (size_t n = 0; n < rows; n++) {
    const int64_t offset = -int64_t{plane.zero_point} * row_sum[n];
    if (offset < INT32_MIN || offset > INT32_MAX) return invalid("'{}': row {}: its sum is too large", node.name, n);
    epilogue.offsets.push_back(static_cast<int32_t>(offset));
    epilogue.scales.push_back(row_scale[n] * plane.scale);
  }
  return {};
}

Result<LinearTensors> LoweredTensors::linear(const std::string& name, const std::vector<const Node*>& parts,
                                             fb::Layout layout) {
  LinearTensors result;
  TRY_ASSIGN(result.input, wide_range(parts[0]->inputs[0]));
  result.input_bits = bits(parts[0]->inputs[0]);
  TRY_ASSIGN(result.weight, weight(name, parts, layout));
  TRY_ASSIGN(const auto planes, planes_of(name, result, layout));
  Epilogue epilogue;
  for (const Plane& plane : planes) {
    for (const Node* node : parts) TRY(append_epilogue(*node, plane, epilogue));
  }
  result.inputs = static_cast<uint64_t>(parameter(parts[0]->weight).columns);
  result.outputs = epilogue.scales.size() / planes.size();
  TRY(prove_no_overflow(name, epilogue.offsets, static_cast<int64_t>(result.inputs), layout));
  result.offset = add(name + ".offset", epilogue.offsets);
  result.scale = add(name + ".scale", epilogue.scales);
  TRY_ASSIGN(result.bias, bias(name, parts));
  return result;
}

}  // namespace hotaru
