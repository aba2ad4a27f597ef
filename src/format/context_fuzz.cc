// A context file whose meta is damaged, with right checksums: refused, or everything in it can be read.
#include "format/sample_context.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const hotaru::SampleContext sample;
  static const std::vector<std::byte> good = hotaru::pack_meta(sample.meta);
  const auto file = sample.pack(hotaru::patched(good, std::span(data, size)));
  const auto context = hotaru::ContextFile::from_bytes(file, "fuzz");
  if (!context) return 0;
  hotaru::touch(std::as_bytes(context->ids()));
  for (int page = 0; page < context->page_count(); page++) hotaru::touch(context->page(page));
  hotaru::touch(std::as_bytes(std::span(context->host_state())));
  hotaru::fb::SavedContextT everything;
  context->meta().UnPackTo(&everything);
  return 0;
}
