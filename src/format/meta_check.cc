#include "format/meta_check.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <set>

#include "format/features.h"

namespace hotaru {
namespace {

constexpr uint64_t kMaxMetaBytes = uint64_t{1} << 30;
constexpr uint64_t kMaxLayers = 4096;
constexpr uint64_t kMaxHeads = 4096;
constexpr size_t kMaxDimensions = 4;

// Names that a file may require. Every addition that changes what a file means goes here, with its reader.
constexpr std::array kKnownFeatures = {kFeatureWideInputs, kFeaturePrefix, kFeatureKeyBias, kFeatureLateBlock};

std::optional<uint64_t> element_bytes(fb::Layout layout) {
  switch (layout) {
    case fb::Layout::F64:
      return 8;
    case fb::Layout::F32:
    case fb::Layout::I32:
      return 4;
    case fb::Layout::I16:
      return 2;
    case fb::Layout::U8:
      return 1;
    case fb::Layout::PackedInt4:
    case fb::Layout::PackedInt8:
      break;
  }
  return std::nullopt;
}

// Extents are at most 2^24 and at most four: 96 bits are possible, so the products are checked.
Result<uint64_t> want_bytes(const fb::Tensor& tensor) {
  const auto* shape = tensor.shape();
  if (shape == nullptr || shape->size() == 0 || shape->size() > kMaxDimensions) {
    return invalid("got {} dimensions, want 1 to {}", shape == nullptr ? 0U : shape->size(), kMaxDimensions);
  }
  if (!is_aligned(*shape)) return invalid("its shape is not aligned in the meta");
  for (const uint64_t extent : *shape) {
    if (extent == 0 || extent > kMaxExtent) return invalid("got an extent of {}, want 1 to {}", extent, kMaxExtent);
  }
  if (tensor.layout() == fb::Layout::PackedInt4 || tensor.layout() == fb::Layout::PackedInt8) {
    const bool is_int4 = tensor.layout() == fb::Layout::PackedInt4;
    const uint64_t multiple = is_int4 ? 32 : 4;
    if (shape->size() != 2 || shape->Get(1) % multiple != 0) {
      return invalid("a packed matrix wants 2 dimensions, the second a multiple of {}", multiple);
    }
    return is_int4 ? packed_int4_size(shape->Get(0), shape->Get(1)) : packed_int8_size(shape->Get(0), shape->Get(1));
  }
  const std::optional<uint64_t> element = element_bytes(tensor.layout());
  if (!element) return invalid("layout {} is unknown", static_cast<int>(tensor.layout()));
  uint64_t bytes = *element;
  for (const uint64_t extent : *shape) {
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return invalid("its size overflows");
  }
  return bytes;
}

template <typename T>
Result<void> check_finite(std::span<const std::byte> bytes) {
  for (size_t i = 0; i < bytes.size() / sizeof(T); i++) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    if (!std::isfinite(value)) return invalid("value {} is not finite", i);
  }
  return {};
}

Result<void> check_range(const fb::Tensor& tensor, std::span<const std::byte> section) {
  TRY_ASSIGN(const uint64_t want, want_bytes(tensor));
  if (tensor.bytes() != want) return invalid("got {} bytes, want {}", tensor.bytes(), want);
  if (tensor.offset() % kTensorAlignment != 0) return invalid("offset {} is not a multiple of 64", tensor.offset());
  if (tensor.offset() > section.size() || want > section.size() - tensor.offset()) {
    return invalid("{} bytes from {} lie outside the section of {}", want, tensor.offset(), section.size());
  }
  const auto bytes = section.subspan(tensor.offset(), want);
  if (tensor.layout() == fb::Layout::F32) return check_finite<float>(bytes);
  if (tensor.layout() == fb::Layout::F64) return check_finite<double>(bytes);
  return {};
}

// A tensor of an adapter's site: there, of this layout and shape, inside the section.
Result<void> check_site_tensor(const fb::Tensor* tensor, fb::Layout layout, std::initializer_list<uint64_t> shape,
                               std::span<const std::byte> section) {
  if (tensor == nullptr) return invalid("a tensor is missing");
  TRY(check_tensor(*tensor, section));
  const bool same = tensor->layout() == layout && tensor->shape()->size() == shape.size() &&
                    std::equal(shape.begin(), shape.end(), tensor->shape()->begin());
  if (!same) return invalid("tensor '{}' has the wrong layout or shape", text_of(tensor->name()));
  return {};
}

Result<void> check_site(const fb::AdapterSite& site, std::span<const std::byte> section) {
  const uint64_t rank = site.rank();
  const uint64_t count = site.output_count();
  if (rank == 0 || rank > kMaxExtent || count == 0 || uint64_t{site.output_begin()} + count > kMaxExtent) {
    return invalid("got rank {}, outputs from {}, {} of them", rank, site.output_begin(), count);
  }
  if (!std::isfinite(site.hidden_inverse_scale()) ||
      !(site.hidden_zero_point() >= 0 && site.hidden_zero_point() <= 255)) {
    return invalid("its static range has the inverse scale {} and the zero point {}", site.hidden_inverse_scale(),
                   site.hidden_zero_point());
  }
  const bool has_inputs =
      site.down() != nullptr && site.down()->shape() != nullptr && site.down()->shape()->size() == 2;
  const uint64_t inputs = has_inputs ? site.down()->shape()->Get(1) : 0;
  const uint64_t padded_rank = (rank + 31) / 32 * 32;
  TRY(check_site_tensor(site.down(), fb::Layout::PackedInt8, {rank, inputs}, section));
  TRY(check_site_tensor(site.down_scale(), fb::Layout::F32, {rank}, section));
  TRY(check_site_tensor(site.up(), fb::Layout::PackedInt8, {count, padded_rank}, section));
  TRY(check_site_tensor(site.up_scale(), fb::Layout::F32, {count}, section));
  if (site.bias() == nullptr) return {};
  return check_site_tensor(site.bias(), fb::Layout::F32, {count}, section);
}

Result<void> check_extent(std::string_view field, uint64_t value, uint64_t high) {
  if (value == 0 || value > high) return invalid("shape: {}: got {}, want 1 to {}", field, value, high);
  return {};
}

}  // namespace

std::string_view text_of(const flatbuffers::String* text) { return text == nullptr ? "" : text->string_view(); }

Result<std::span<const std::byte>> meta_section(const Container& container) {
  const auto meta = container.section(SectionType::kMeta);
  if (!meta) return invalid("the 'meta' section is missing");
  if (meta->size() < 8 || meta->size() > kMaxMetaBytes) {
    return invalid("the 'meta' section has {} bytes, want 8 to {}", meta->size(), kMaxMetaBytes);
  }
  return *meta;
}

flatbuffers::Verifier meta_verifier(std::span<const std::byte> meta) {
  constexpr flatbuffers::uoffset_t kMaxDepth = 16;
  constexpr flatbuffers::uoffset_t kMaxTables = 4'000'000;
  return {reinterpret_cast<const uint8_t*>(meta.data()), meta.size(), kMaxDepth, kMaxTables};
}

Result<void> check_features(const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>* features) {
  if (features == nullptr) return {};
  for (const flatbuffers::String* feature : *features) {
    const std::string_view name = text_of(feature);
    if (std::ranges::find(kKnownFeatures, name) != kKnownFeatures.end()) continue;
    return not_supported("needs the feature '{}', which this version of Hotaru does not know", name.substr(0, 64));
  }
  return {};
}

Result<void> check_shape(const fb::ModelShape* shape) {
  if (shape == nullptr) return invalid("the model's shape is missing");
  TRY(check_extent("layers", shape->layers(), kMaxLayers));
  TRY(check_extent("width", shape->width(), kMaxExtent));
  TRY(check_extent("query_heads", shape->query_heads(), kMaxHeads));
  TRY(check_extent("kv_heads", shape->kv_heads(), kMaxHeads));
  TRY(check_extent("head_width", shape->head_width(), kMaxHeads));
  TRY(check_extent("ffn_width", shape->ffn_width(), kMaxExtent));
  TRY(check_extent("vocabulary", shape->vocabulary(), kMaxExtent));
  if (shape->query_heads() % shape->kv_heads() != 0) {
    return invalid("shape: {} query heads do not share {} kv heads evenly", shape->query_heads(), shape->kv_heads());
  }
  return {};
}

Result<void> check_generation(const fb::GenerationDefaults* generation, uint64_t vocabulary) {
  if (generation == nullptr) return {};
  const auto check_id = [&](std::string_view field, int64_t id, int64_t low) -> Result<void> {
    if (id >= low && id < static_cast<int64_t>(vocabulary)) return {};
    return invalid("generation defaults: {}: got {}, want {} to {}", field, id, low, vocabulary - 1);
  };
  TRY(check_id("bos_id", generation->bos_id(), -1));
  TRY(check_id("pad_id", generation->pad_id(), -1));
  if (generation->eos_ids() == nullptr) return {};
  for (const int32_t id : *generation->eos_ids()) TRY(check_id("eos_ids", id, 0));
  return {};
}

Result<void> check_tensor(const fb::Tensor& tensor, std::span<const std::byte> section) {
  auto checked = check_range(tensor, section);
  if (checked) return {};
  return at(fmt::format("tensor '{}'", text_of(tensor.name())), std::move(checked).error());
}

Result<void> check_tensors(const Tensors* tensors, std::span<const std::byte> section) {
  if (tensors == nullptr) return invalid("the list of tensors is missing");
  if (tensors->size() > kMaxTensors) return invalid("got {} tensors, want at most {}", tensors->size(), kMaxTensors);
  for (const fb::Tensor* tensor : *tensors) TRY(check_tensor(*tensor, section));
  return {};
}

Result<void> check_adapters(const flatbuffers::Vector<flatbuffers::Offset<fb::Adapter>>* adapters,
                            const Container& container) {
  if (adapters == nullptr) return {};
  std::set<std::string_view> names;
  for (const fb::Adapter* adapter : *adapters) {
    const std::string_view name = text_of(adapter->name());
    if (name.empty() || !names.insert(name).second) return invalid("adapter '{}': no name, or one used twice", name);
    const std::string place = fmt::format("adapter '{}'", text_of(adapter->name()));
    const auto section = container.section(SectionType::kAdapter, adapter->section());
    if (!section) return invalid("{}: its section {} is missing", place, adapter->section());
    if (!std::isfinite(adapter->alpha())) return invalid("{}: alpha is not finite", place);
    if (adapter->sites() == nullptr) continue;
    for (const fb::AdapterSite* site : *adapter->sites()) {
      auto checked = check_site(*site, *section);
      if (!checked) return at(fmt::format("{} site '{}'", place, text_of(site->site())), std::move(checked).error());
    }
  }
  return {};
}

}  // namespace hotaru
