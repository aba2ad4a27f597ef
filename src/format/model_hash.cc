#include "format/model_hash.h"

#include <array>

#include "base/check.h"
#include "format/container_layout.h"

namespace hotaru {
namespace {

// Sections' checksums stand for their bytes: they were verified when the file was opened.
uint64_t section_checksum(const Container& container, SectionType type, uint32_t index) {
  for (const Section& section : container.sections()) {
    if (section.type == type && section.index == index) return section.checksum;
  }
  CHECK(false);
  return 0;
}

uint64_t hash_of(std::span<const std::byte> meta, uint64_t checksum) {
  const std::array<uint64_t, 2> parts = {checksum_of(meta), checksum};
  return checksum_of_chunks(parts);
}

}  // namespace

uint64_t model_hash(const HefFile& hef) {
  fb::HefT whole;
  hef.meta().UnPackTo(&whole);
  fb::HefT part;
  part.shape = std::move(whole.shape);
  part.tensors = std::move(whole.tensors);
  part.prefix = std::move(whole.prefix);
  part.programs = std::move(whole.programs);
  // How many rows fit and where buffers lie changes no bit.
  for (const auto& program : part.programs) {
    program->max_rows = 0;
    program->buffers.clear();
  }
  return hash_of(pack_meta(part), section_checksum(hef.container(), SectionType::kWeights, 0));
}

uint64_t adapter_hash(const HefFile& hef, const fb::Adapter& adapter) {
  fb::HefT part;
  part.adapters.push_back(std::make_unique<fb::AdapterT>());
  fb::AdapterT& table = *part.adapters.front();
  adapter.UnPackTo(&table);
  table.name.clear();
  table.source_hash.clear();
  table.section = 0;
  return hash_of(pack_meta(part), section_checksum(hef.container(), SectionType::kAdapter, adapter.section()));
}

}  // namespace hotaru
