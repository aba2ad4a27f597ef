// A damaged container, checksums checked or not: refused, or every section can be read. The first byte cuts the end
// off.
#include "format/container.h"

#include "format/sample_hef.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hotaru::Container;
  static const std::vector<std::byte> good = hotaru::SampleHef().pack();
  if (size == 0) return 0;
  const std::vector<std::byte> whole = hotaru::patched(good, std::span(data, size).subspan(1));
  const std::vector<std::byte> file(whole.begin(), whole.end() - data[0] * 16);
  for (const bool check_checksums : {true, false}) {
    const auto container = Container::from_bytes(file, hotaru::FileKind::kHef, "fuzz", {nullptr, check_checksums});
    if (!container) continue;
    for (const hotaru::Section& section : container->sections()) {
      const auto bytes = container->section(section.type, section.index);
      if (!bytes) __builtin_trap();
      hotaru::touch(*bytes);
    }
  }
  return 0;
}
