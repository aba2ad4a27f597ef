#include "device/adapters.h"

#include <cstring>

#include "format/meta_check.h"
#include "kernels/packed.h"

namespace hotaru {
namespace {

// sum_k code[row, k] of a packed int8 matrix
int32_t row_sum(const int8_t* packed, size_t row, size_t inputs) {
  int32_t sum = 0;
  for (size_t k = 0; k < inputs; k++) sum += packed[packed_int8_index(row, k, inputs)];
  return sum;
}

template <typename T>
const T* address(std::span<const std::byte> bytes) {
  return reinterpret_cast<const T*>(bytes.data());
}

}  // namespace

// offset[n] = -zero_point * sum_k code[n, k]; format/adapter_check.h proved that it fits.
const std::vector<int32_t>& AdapterPlanner::offsets(const fb::Tensor& matrix, std::span<const std::byte> bytes,
                                                    int zero_point) {
  const auto [place, is_new] = offsets_.try_emplace({bytes.data(), zero_point});
  if (!is_new) return place->second;
  const size_t inputs = matrix.shape()->Get(1);
  for (size_t row = 0; row < matrix.shape()->Get(0); row++) {
    place->second.push_back(-zero_point * row_sum(address<int8_t>(bytes), row, inputs));
  }
  return place->second;
}

const std::vector<float>& AdapterPlanner::scales(std::span<const std::byte> row_scales, float factor) {
  const auto [place, is_new] = scales_.try_emplace({row_scales.data(), factor});
  if (!is_new) return place->second;
  place->second.resize(row_scales.size() / sizeof(float));
  std::memcpy(place->second.data(), row_scales.data(), row_scales.size());
  for (float& scale : place->second) scale = scale * factor;
  return place->second;
}

PlannedAddition AdapterPlanner::plan(const fb::Adapter& adapter, const fb::AdapterSite& site,
                                     const LinearPlace& place) {
  const auto bytes = [&](const fb::Tensor* tensor) { return hef_->adapter_bytes(adapter, *tensor); };
  const fb::LinearCall& call = *place.call;
  LowRankArgs args;
  args.inputs = place.inputs;
  args.rank = static_cast<int>(site.rank());
  args.outputs = static_cast<int>(site.output_count());
  args.stride = place.outputs;
  args.input = place.input;
  args.high = place.high;
  args.down = address<int8_t>(bytes(site.down()));
  const int low_zero_point = place.high == nullptr ? call.input_zero_point() : call.input_zero_point() & 255;
  args.down_offset = offsets(*site.down(), bytes(site.down()), low_zero_point).data();
  args.down_scale = scales(bytes(site.down_scale()), call.input_scale()).data();
  if (place.high != nullptr) {
    args.high_offset = offsets(*site.down(), bytes(site.down()), call.input_zero_point() >> 8).data();
    args.high_scale = scales(bytes(site.down_scale()), 256.0F * call.input_scale()).data();
  }
  args.inverse_scale = site.hidden_inverse_scale();
  args.zero_point = site.hidden_zero_point();
  args.up = address<int8_t>(bytes(site.up()));
  args.up_offset = offsets(*site.up(), bytes(site.up()), static_cast<int>(site.hidden_zero_point())).data();
  args.up_scale = address<float>(bytes(site.up_scale()));
  if (site.bias() != nullptr) args.bias = address<float>(bytes(site.bias()));
  args.output = place.output + site.output_begin();
  return {0, args};
}

std::vector<PlannedAddition> AdapterPlanner::additions(const LinearPlace& place) {
  std::vector<PlannedAddition> found;
  const auto* adapters = hef_->meta().adapters();
  if (adapters == nullptr) return found;
  for (unsigned id = 0; id < adapters->size(); id++) {
    const fb::Adapter& adapter = *adapters->Get(id);
    if (adapter.sites() == nullptr) continue;
    for (const fb::AdapterSite* site : *adapter.sites()) {
      if (text_of(site->site()) != text_of(place.call->site())) continue;
      found.push_back(plan(adapter, *site, place));
      found.back().adapter = static_cast<int>(id);
    }
  }
  return found;
}

size_t AdapterPlanner::vector_bytes() const {
  size_t bytes = 0;
  for (const auto& [key, vector] : offsets_) bytes += vector.size() * sizeof(int32_t);
  for (const auto& [key, vector] : scales_) bytes += vector.size() * sizeof(float);
  return bytes;
}

void play_additions(std::span<const PlannedAddition> additions, std::span<const AdapterRun> runs,
                    const AddingThread& thread) {
  for (const AdapterRun& run : runs) {
    for (const PlannedAddition& addition : additions) {
      if (addition.adapter != run.adapter) continue;
      LowRankArgs args = addition.args;
      const auto first = static_cast<size_t>(run.begin);
      args.tokens = run.end - run.begin;
      args.input += first * static_cast<size_t>(args.inputs);
      if (args.high != nullptr) args.high += first * static_cast<size_t>(args.inputs);
      args.output += first * static_cast<size_t>(args.stride);
      args.workspace = thread.workspace;
      play_low_rank(args, thread.kernels->linear_int8, thread.slice);
    }
  }
}

}  // namespace hotaru
