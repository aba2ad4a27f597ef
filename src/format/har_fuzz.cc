// Any bytes as the meta of an otherwise sound HAR (see hef_fuzz.cc).
#include <algorithm>

#include "format/sample_har.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned) {
  static const std::vector<std::byte> sample = hotaru::pack_meta(hotaru::SampleHar().meta);
  if (size < 64 && sample.size() <= max_size) {
    std::memcpy(data, sample.data(), sample.size());
    size = sample.size();
  }
  return LLVMFuzzerMutate(data, size, max_size);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hotaru::SectionType;
  static const std::vector<std::byte> weights = hotaru::SampleHar().weights;
  const auto file = hotaru::pack_container(
      hotaru::FileKind::kHar,
      {{SectionType::kMeta, std::as_bytes(std::span(data, size))}, {SectionType::kWeights, weights}});
  const auto har = hotaru::HarFile::from_bytes(file, "fuzz");
  if (!har) return 0;
  unsigned sum = 0;
  for (unsigned id = 0; id < har->meta().tensors()->size(); id++) {
    for (const std::byte byte : har->tensor_bytes(static_cast<int>(id))) sum += std::to_integer<unsigned>(byte);
  }
  static volatile unsigned sink;  // so that the reads stay
  sink = sum;
  return 0;
}
