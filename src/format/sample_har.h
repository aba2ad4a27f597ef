// A tiny HAR (one linear node) for tests and fuzzers.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "format/har.h"
#include "format/sample_hef.h"

namespace hotaru {

class SampleHar {
 public:
  SampleHar() {
    meta.shape = std::make_unique<fb::ModelShapeT>(*SampleHef().meta.shape);
    add_tensor("w", fb::Layout::PackedInt4, {16, 32}, packed_int4_size(16, 32));
    add_tensor("w.scale", fb::Layout::F32, {16}, 64);
    add_tensor("w.sum", fb::Layout::I32, {16}, 64);
    for (const auto& [name, width] : {std::pair<const char*, uint32_t>{"x", 32}, {"y", 16}}) {
      auto value = std::make_unique<fb::GraphValueT>();
      value->name = name;
      value->width = width;
      value->ranges.emplace_back(0.1F, 128);
      meta.values.push_back(std::move(value));
    }
    auto parameter = std::make_unique<fb::ParameterT>();
    parameter->name = "w";
    parameter->rows = 16;
    parameter->columns = 32;
    parameter->packed = 0;
    parameter->row_scale = 1;
    parameter->row_sum = 2;
    meta.parameters.push_back(std::move(parameter));
    auto node = std::make_unique<fb::NodeT>();
    node->kind = fb::NodeKind::Linear;
    node->name = "linear";
    node->inputs = {0};
    node->output = 1;
    node->weight = 0;
    meta.nodes.push_back(std::move(node));
  }

  fb::HarT meta;
  std::vector<std::byte> weights;

  // Rank 4 on 16 outputs of 32 inputs; its tensors follow each other in the adapter's section.
  void add_adapter() {
    auto site = std::make_unique<fb::AdapterSiteT>();
    site->site = "layers.0.o";
    site->output_count = 16;
    site->rank = 4;
    site->hidden_inverse_scale = 1.0F;
    site->down = tensor("down", fb::Layout::PackedInt8, {4, 32}, 0, packed_int8_size(4, 32));
    site->down_scale = tensor("down_scale", fb::Layout::F32, {4}, 512, 16);
    site->up = tensor("up", fb::Layout::PackedInt8, {16, 32}, 576, packed_int8_size(16, 32));
    site->up_scale = tensor("up_scale", fb::Layout::F32, {16}, 1088, 64);
    auto adapter = std::make_unique<fb::AdapterT>();
    adapter->name = "holmes";
    adapter->sites.push_back(std::move(site));
    meta.adapters.push_back(std::move(adapter));
  }
  [[nodiscard]] std::vector<std::byte> pack(bool with_adapter_section = true) const {
    const std::vector<std::byte> packed = pack_meta(meta);
    const std::vector<std::byte> adapter(1152);
    std::vector<std::pair<SectionType, std::span<const std::byte>>> sections = {{SectionType::kMeta, packed},
                                                                                {SectionType::kWeights, weights}};
    if (!meta.adapters.empty() && with_adapter_section) sections.emplace_back(SectionType::kAdapter, adapter);
    return pack_container(FileKind::kHar, sections);
  }

 private:
  static std::unique_ptr<fb::TensorT> tensor(const std::string& name, fb::Layout layout, std::vector<uint64_t> shape,
                                             uint64_t offset, uint64_t bytes) {
    auto table = std::make_unique<fb::TensorT>();
    table->name = name;
    table->layout = layout;
    table->shape = std::move(shape);
    table->offset = offset;
    table->bytes = bytes;
    return table;
  }
  void add_tensor(const std::string& name, fb::Layout layout, std::vector<uint64_t> shape, uint64_t bytes) {
    weights.resize(round_up(weights.size(), kTensorAlignment));
    meta.tensors.push_back(tensor(name, layout, std::move(shape), weights.size(), bytes));
    weights.resize(weights.size() + bytes);
  }
};

}  // namespace hotaru
