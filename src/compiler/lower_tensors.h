// The tensors of a HEF while its programs are being made: matrices fused from the model's, vectors with static scales
// multiplied in.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/lower.h"
#include "compiler/optimised_model.h"

namespace hotaru {

// One linear of the HEF: ids of its tensors, the static range of its input.
struct LinearTensors {
  int weight = -1;
  int offset = -1;
  int scale = -1;
  int bias = -1;
  uint64_t outputs = 0;
  uint64_t inputs = 0;
  StaticRange input;
  int input_bits = 8;
};

class LoweredTensors {
 public:
  explicit LoweredTensors(const OptimisedModel& model) : model_(model) {}

  // Linears that read one value become one: rows of the first, then of the second, ...
  Result<LinearTensors> linear(const std::string& name, const std::vector<const Node*>& parts, fb::Layout layout);
  // A quantised matrix as it is, made once; embedding and head of a tied model share it.
  Result<int> matrix(ParameterId id, fb::Layout layout);
  // A parameter that stayed float; made once. kNone gives -1.
  Result<int> values(ParameterId id, fb::Layout layout);
  // The numbers of a parameter that stayed float.
  Result<std::vector<float>> floats(ParameterId id) const;
  Result<std::vector<double>> doubles(ParameterId id) const;
  // The row scales of a matrix.
  Result<int> row_scales(ParameterId id);
  int add(const std::string& name, const std::vector<float>& values);
  int add(const std::string& name, const std::vector<int32_t>& values);
  int add(const std::string& name, const std::vector<uint64_t>& shape, const std::vector<int16_t>& values);

  // Static range of an 8-bit value, per tensor or of one head.
  Result<StaticRange> range(ValueId value, size_t head = 0) const;
  // The same of a value that may have 16 bits.
  Result<StaticRange> wide_range(ValueId value, size_t head = 0) const;
  [[nodiscard]] int bits(ValueId value) const { return model_.graph.values[static_cast<size_t>(value)].bits; }

  [[nodiscard]] std::vector<LoweredTensor> take() { return std::move(tensors_); }

 private:
  template <typename T>
  Result<std::vector<T>> stored_vector(ParameterId id, int tensor, size_t count) const;
  // One plane of a linear's input codes; offsets and scales of one plane's rows after another's.
  struct Plane {
    float scale;
    int zero_point;
  };
  struct Epilogue {
    std::vector<int32_t> offsets;
    std::vector<float> scales;
  };
  static Result<std::vector<Plane>> planes_of(const std::string& name, const LinearTensors& linear, fb::Layout layout);
  Result<void> append_epilogue(const Node& node, const Plane& plane, Epilogue& epilogue) const;
  Result<void> check_matrix(ParameterId id, fb::Layout layout) const;
  Result<int> weight(const std::string& name, const std::vector<const Node*>& parts, fb::Layout layout);
  Result<int> bias(const std::string& name, const std::vector<const Node*>& parts);
  int keep(int stored, const std::string& name);
  int add_bytes(TensorHeader header, std::span<const std::byte> bytes);
  [[nodiscard]] const Parameter& parameter(ParameterId id) const {
    return model_.graph.parameters[static_cast<size_t>(id)];
  }
  [[nodiscard]] const StoredParameter& stored(ParameterId id) const { return model_.stored[static_cast<size_t>(id)]; }

  const OptimisedModel& model_;
  std::vector<LoweredTensor> tensors_;
  std::map<int, int> kept_;  // tensor of the model -> tensor of the HEF
};

}  // namespace hotaru
