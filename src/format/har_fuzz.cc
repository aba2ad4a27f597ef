// A HAR whose meta is damaged, with right checksums: refused, or every tensor can be read.
#include "format/sample_har.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hotaru::SectionType;
  static const hotaru::SampleHar sample;
  static const std::vector<std::byte> good = hotaru::pack_meta(sample.meta);
  const std::vector<std::byte> meta = hotaru::patched(good, std::span(data, size));
  const auto file = hotaru::pack_container(hotaru::FileKind::kHar,
                                           {{SectionType::kMeta, meta}, {SectionType::kWeights, sample.weights}});
  const auto har = hotaru::HarFile::from_bytes(file, "fuzz");
  if (!har) return 0;
  for (unsigned id = 0; id < har->meta().tensors()->size(); id++)
    hotaru::touch(har->tensor_bytes(static_cast<int>(id)));
  return 0;
}
