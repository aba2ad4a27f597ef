// Any bytes behind a right magic as a container, with and without checksums: every section that it lists can be read.
#include "format/container.h"
#include "format/container_layout.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using hotaru::Container;
  std::vector<std::byte> file(size + hotaru::kMagicBytes);
  std::memcpy(file.data(), hotaru::magic_of(hotaru::FileKind::kHef).data(), hotaru::kMagicBytes);
  if (size > 0) std::memcpy(file.data() + hotaru::kMagicBytes, data, size);
  for (const bool check_checksums : {true, false}) {
    const auto container = Container::from_bytes(file, hotaru::FileKind::kHef, "fuzz", {nullptr, check_checksums});
    if (!container) continue;
    unsigned sum = 0;
    for (const hotaru::Section& section : container->sections()) {
      for (const std::byte byte : *container->section(section.type, section.index))
        sum += std::to_integer<unsigned>(byte);
    }
    static volatile unsigned sink;  // so that the reads stay
    sink = sum;
  }
  return 0;
}
