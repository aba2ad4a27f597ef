// A HEF whose meta is damaged, with right checksums: refused, or every tensor can be read. Inputs of odd length damage
// one with split keys.
#include "format/sample_hef.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hotaru::SectionType;
  static const hotaru::SampleHef plain;
  static const hotaru::SampleHef split = [] {
    hotaru::SampleHef with_split_keys;
    with_split_keys.split_keys();
    with_split_keys.plan();
    return with_split_keys;
  }();
  const hotaru::SampleHef& sample = size % 2 == 1 ? split : plain;
  const std::vector<std::byte> good = hotaru::pack_meta(sample.meta);
  const std::vector<std::byte> meta = hotaru::patched(good, std::span(data, size));
  const auto file = hotaru::pack_container(hotaru::FileKind::kHef,
                                           {{SectionType::kMeta, meta}, {SectionType::kWeights, sample.weights}});
  const auto hef = hotaru::HefFile::from_bytes(file, "fuzz");
  if (!hef) return 0;
  for (unsigned id = 0; id < hef->meta().tensors()->size(); id++)
    hotaru::touch(hef->tensor_bytes(static_cast<int>(id)));
  return 0;
}
