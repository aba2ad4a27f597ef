// A HEF whose meta is damaged, with right checksums: refused, or every tensor can be read. The input's length chooses
// among a plain one, one with split keys and one with attention in the head.
#include "format/sample_hef.h"

namespace {

hotaru::SampleHef changed(void (hotaru::SampleHef::*change)()) {
  hotaru::SampleHef sample;
  (sample.*change)();
  sample.plan();
  return sample;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hotaru::SectionType;
  static const hotaru::SampleHef samples[] = {hotaru::SampleHef(), changed(&hotaru::SampleHef::split_keys),
                                              changed(&hotaru::SampleHef::play_attention_late)};
  const hotaru::SampleHef& sample = samples[size % 3];
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
