// A HEF whose meta is damaged, with right checksums: refused, or every tensor can be read.
#include "format/sample_hef.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hotaru::SectionType;
  static const hotaru::SampleHef sample;
  static const std::vector<std::byte> good = hotaru::pack_meta(sample.meta);
  const std::vector<std::byte> meta = hotaru::patched(good, std::span(data, size));
  const auto file = hotaru::pack_container(hotaru::FileKind::kHef,
                                           {{SectionType::kMeta, meta}, {SectionType::kWeights, sample.weights}});
  const auto hef = hotaru::HefFile::from_bytes(file, "fuzz");
  if (!hef) return 0;
  for (unsigned id = 0; id < hef->meta().tensors()->size(); id++)
    hotaru::touch(hef->tensor_bytes(static_cast<int>(id)));
  return 0;
}
