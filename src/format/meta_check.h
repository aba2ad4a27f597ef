// Checks that the metas of HAR and HEF share: FlatBuffers verification, tensors against their section, shapes,
// features.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.h"
#include "format/container.h"
#include "format/tensor_generated.h"

namespace hotaru {

// Limits that real models stay far below; they keep every later product of sizes within 64 bits.
inline constexpr uint64_t kMaxExtent = uint64_t{1} << 24;  // rows, inputs, widths, vocabulary
inline constexpr uint64_t kMaxTensors = 1'000'000;
inline constexpr size_t kTensorAlignment = 64;

// The packed order's sizes (kernels/packed.h): blocks of 16 rows; groups of 32 inputs.
constexpr uint64_t padded_row_count(uint64_t rows) { return (rows + 15) / 16 * 16; }
constexpr uint64_t packed_int4_size(uint64_t rows, uint64_t inputs) {
  return padded_row_count(rows) / 16 * (inputs / 32) * 272;
}
constexpr uint64_t packed_int8_size(uint64_t rows, uint64_t inputs) { return padded_row_count(rows) * inputs; }

using Tensors = flatbuffers::Vector<flatbuffers::Offset<fb::Tensor>>;

std::string_view text_of(const flatbuffers::String* text);  // "" for none

// The META section, small enough for FlatBuffers and not empty.
Result<std::span<const std::byte>> meta_section(const Container& container);
// A Verifier with limits on depth and tables, for `T::Verify`. Unions and vectors of tables are walked.
flatbuffers::Verifier meta_verifier(std::span<const std::byte> meta);

// FlatBuffers' verifier does not look at the alignment of vector elements wider than its own 4-byte lengths.
template <typename T>
bool is_aligned(const flatbuffers::Vector<T>& vector) {
  return reinterpret_cast<uintptr_t>(vector.Data()) % sizeof(T) == 0;
}

// What a reader of this version understands; others are kNotSupported, by name.
Result<void> check_features(const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>* features);
Result<void> check_shape(const fb::ModelShape* shape);
Result<void> check_generation(const fb::GenerationDefaults* generation, uint64_t vocabulary);
// Shape, alignment, exact size and place in the section; floating-point values finite.
Result<void> check_tensor(const fb::Tensor& tensor, std::span<const std::byte> section);
Result<void> check_tensors(const Tensors* tensors, std::span<const std::byte> section);
// Adapters' sections exist, their tensors lie in them and have the shapes of a LoRA.
Result<void> check_adapters(const flatbuffers::Vector<flatbuffers::Offset<fb::Adapter>>* adapters,
                            const Container& container);

}  // namespace hotaru
