// Any bytes as the meta of an otherwise sound HEF. The mutator starts from a real meta: random bytes would never get
// past FlatBuffers' verifier. What opens must let every tensor be read.
#include <algorithm>

#include "format/sample_hef.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned) {
  static const std::vector<std::byte> sample = hotaru::pack_meta(hotaru::SampleHef().meta);
  if (size < 64 && sample.size() <= max_size) {
    std::memcpy(data, sample.data(), sample.size());
    size = sample.size();
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hotaru::SectionType;
  static const std::vector<std::byte> weights = hotaru::SampleHef().weights;
  const auto file = hotaru::pack_container(
      hotaru::FileKind::kHef,
      {{SectionType::kMeta, std::as_bytes(std::span(data, size))}, {SectionType::kWeights, weights}});
  const auto hef = hotaru::HefFile::from_bytes(file, "fuzz");
  if (!hef) return 0;
  unsigned sum = 0;
  for (unsigned id = 0; id < hef->meta().tensors()->size(); id++) {
    for (const std::byte byte : hef->tensor_bytes(static_cast<int>(id))) sum += std::to_integer<unsigned>(byte);
  }
  static volatile unsigned sink;  // so that the reads stay
  sink = sum;
  return 0;
}
