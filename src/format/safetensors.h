// Hugging Face safetensors, read in place from a memory map: one file, or a directory with model.safetensors or with
// shards and model.safetensors.index.json. Every offset is checked when a file is opened.
//
//   u64 header bytes (little endian) | header: JSON {name: {dtype, shape, data_offsets: [begin, end]}} | data
//
// As the reference implementation: offsets count from the end of the header, tensors neither overlap nor leave holes.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "tensor/dtype.h"

namespace hotaru {

struct TensorView {
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // not aligned: read through convert_to_f32
};

// Half-open range of a tensor's first dimension.
struct RowRange {
  int64_t begin = 0;
  int64_t end = 0;
};

class Safetensors {
 public:
  using Tensors = std::map<std::string, TensorView, std::less<>>;

  Safetensors() = default;
  // A file, or a checkpoint directory.
  static Result<Safetensors> open(const std::string& path);
  // A file that is already in memory and outlives the object.
  static Result<Safetensors> from_bytes(std::span<const std::byte> bytes, std::string_view place);

  // Ordered by name.
  [[nodiscard]] const Tensors& tensors() const { return tensors_; }
  // Null if there is no such tensor.
  [[nodiscard]] const TensorView* find(std::string_view name) const;
  // The shape of an existing tensor, or kNotFound naming it.
  [[nodiscard]] Result<std::vector<int64_t>> shape_of(std::string_view name) const;
  // Rows (all of them without `rows`) as float32. Errors: no such tensor, another shape than `shape`, not a
  // floating-point type, a NaN or an infinity (with its position).
  [[nodiscard]] Result<std::vector<float>> read_f32(std::string_view name, std::span<const int64_t> shape,
                                                    std::optional<RowRange> rows = std::nullopt) const;
  // All files' bytes in order of their names, for hashing a checkpoint.
  [[nodiscard]] std::vector<std::span<const std::byte>> file_bytes() const;

 private:
  static Result<Safetensors> open_sharded(const std::string& directory, const std::string& index_path);
  std::string place_;
  std::vector<MappedFile> files_;
  Tensors tensors_;
};

// Writes float32 tensors one after the other, never holding more than the caller's piece.
class SafetensorsWriter {
 public:
  struct Entry {
    std::string name;
    std::vector<int64_t> shape;
  };
  static Result<SafetensorsWriter> create(const std::string& path, const std::vector<Entry>& entries);
  // The next values, of the tensors in the order of `entries`.
  Result<void> append(std::span<const float> values);
  // CHECKs that every value was written; the file appears under its name.
  Result<void> commit();

 private:
  SafetensorsWriter(OutputFile file, uint64_t values) : file_(std::move(file)), values_left_(values) {}
  OutputFile file_;
  uint64_t values_left_;
};

}  // namespace hotaru
