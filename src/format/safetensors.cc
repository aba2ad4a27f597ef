#include "format/safetensors.h"

#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "base/check.h"
#include "base/json.h"
#include "base/mapped_pages.h"
#include "format/safetensors_header.h"

namespace hotaru {
namespace {

bool is_directory(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode);
}
bool exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0;
}

Result<Safetensors::Tensors> views_of(std::span<const std::byte> bytes, std::string_view place) {
  TRY_ASSIGN(std::vector<SafetensorsEntry> entries, parse_safetensors_header(bytes, place));
  Safetensors::Tensors tensors;
  for (SafetensorsEntry& entry : entries) {
    const std::span<const std::byte> data = bytes.subspan(entry.begin, entry.end - entry.begin);
    tensors.emplace(std::move(entry.name), TensorView{entry.dtype, std::move(entry.shape), data});
  }
  return tensors;
}

// A shard is a plain file name: an index must not reach out of its directory.
bool is_plain_file_name(std::string_view name) {
  return !name.empty() && name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos &&
         name != "." && name != "..";
}

// No model's weight comes near; one with a flipped high bit of its exponent goes beyond, and its squares overflow.
constexpr float kLargest = 1e10F;

// Position of the first value that is not a number up to kLargest.
std::optional<size_t> find_unusable(std::span<const float> values) {
  constexpr size_t kBlock = 4096;
  constexpr uint32_t kLargestBits = std::bit_cast<uint32_t>(kLargest);
  for (size_t begin = 0; begin < values.size(); begin += kBlock) {
    const auto block = values.subspan(begin, std::min(kBlock, values.size() - begin));
    uint32_t largest = 0;  // the compiler makes this loop wide; an early exit would stop it
    for (const float value : block) largest = std::max(largest, std::bit_cast<uint32_t>(value) & 0x7FFFFFFFU);
    if (largest <= kLargestBits) continue;
    for (size_t i = 0; i < block.size(); i++) {
      if ((std::bit_cast<uint32_t>(block[i]) & 0x7FFFFFFFU) > kLargestBits) return begin + i;
    }
  }
  return std::nullopt;
}

// Coordinates of a flat position.
std::vector<int64_t> coordinates(size_t position, std::span<const int64_t> shape) {
  std::vector<int64_t> at_place(shape.size());
  for (size_t d = shape.size(); d-- > 0;) {
    const auto extent = static_cast<size_t>(shape[d]);
    at_place[d] = static_cast<int64_t>(position % extent);
    position /= extent;
  }
  return at_place;
}

}  // namespace

Result<Safetensors> Safetensors::open(const std::string& path) {
  if (is_directory(path)) {
    const std::string single = path + "/model.safetensors";
    const std::string index = path + "/model.safetensors.index.json";
    if (exists(single)) return open(single);
    if (exists(index)) return open_sharded(path, index);
    return make_error(ErrorKind::kNotFound, "{}: holds neither model.safetensors nor model.safetensors.index.json",
                      path);
  }
  TRY_ASSIGN(MappedFile file, MappedFile::open(path));
  TRY_ASSIGN(Safetensors result, from_bytes(file.bytes(), path));
  result.files_.push_back(std::move(file));
  return result;
}

Result<Safetensors> Safetensors::from_bytes(std::span<const std::byte> bytes, std::string_view place) {
  Safetensors result;
  result.place_ = place;
  TRY_ASSIGN(result.tensors_, views_of(bytes, place));
  return result;
}

Result<Safetensors> Safetensors::open_sharded(const std::string& directory, const std::string& index_path) {
  TRY_ASSIGN(const std::string text, read_text_file(index_path));
  TRY_ASSIGN(const Json index, parse_json(text, index_path));
  const auto map = index.is_object() ? index.find("weight_map") : index.end();
  if (map == index.end() || !map->is_object()) return invalid("{}: 'weight_map': missing, want an object", index_path);

  std::map<std::string, std::vector<std::string>> names_of_shard;
  for (const auto& [name, shard] : map->items()) {
    if (!shard.is_string() || !is_plain_file_name(shard.get_ref<const std::string&>())) {
      return invalid("{}: 'weight_map': tensor '{}': want the name of a file in the same directory", index_path, name);
    }
    names_of_shard[shard.get<std::string>()].push_back(name);
  }
  Safetensors result;
  result.place_ = directory;
  for (const auto& [shard, names] : names_of_shard) {
    const std::string path = directory + "/" + shard;
    TRY_ASSIGN(MappedFile file, MappedFile::open(path));
    TRY_ASSIGN(Tensors tensors, views_of(file.bytes(), path));
    for (const std::string& name : names) {
      auto node = tensors.extract(name);
      if (node.empty()) {
        return make_error(ErrorKind::kNotFound, "{}: tensor '{}': missing, although {} names it", path, name,
                          index_path);
      }
      result.tensors_.insert(std::move(node));
    }
    result.files_.push_back(std::move(file));
  }
  return result;
}

const TensorView* Safetensors::find(std::string_view name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

Result<std::vector<int64_t>> Safetensors::shape_of(std::string_view name) const {
  const TensorView* view = find(name);
  if (view == nullptr) return make_error(ErrorKind::kNotFound, "{}: tensor '{}': missing", place_, name);
  return view->shape;
}

Result<std::vector<float>> Safetensors::read_f32(std::string_view name, std::span<const int64_t> shape,
                                                 std::optional<RowRange> rows) const {
  TRY_ASSIGN(const std::vector<int64_t> found_shape, shape_of(name));
  if (!std::ranges::equal(found_shape, shape)) {
    return invalid("{}: tensor '{}': got {}, want {}", place_, name, shape_text(found_shape), shape_text(shape));
  }
  const TensorView& view = *find(name);
  if (view.dtype != DType::kF32 && view.dtype != DType::kF16 && view.dtype != DType::kBf16 &&
      view.dtype != DType::kF64) {
    return not_supported("{}: tensor '{}': got {}, want F32, F16, BF16 or F64", place_, name, dtype_name(view.dtype));
  }
  size_t first = 0;
  size_t count = view.bytes.size() / dtype_bytes(view.dtype);
  if (rows && !shape.empty() && shape[0] > 0) {
    CHECK(0 <= rows->begin && rows->begin <= rows->end && rows->end <= shape[0]);
    const size_t row_values = count / static_cast<size_t>(shape[0]);
    first = static_cast<size_t>(rows->begin) * row_values;
    count = static_cast<size_t>(rows->end - rows->begin) * row_values;
  }
  std::vector<float> values(count);
  const auto source = view.bytes.subspan(first * dtype_bytes(view.dtype), count * dtype_bytes(view.dtype));
  convert_to_f32(view.dtype, source.data(), count, values.data());
  drop_mapped_pages(source);  // a checkpoint may be larger than the machine's memory
  if (const std::optional<size_t> bad = find_unusable(values)) {
    return invalid("{}: tensor '{}': value {} at {}, want numbers up to {:g}", place_, name, values[*bad],
                   shape_text(coordinates(first + *bad, shape)), kLargest);
  }
  return values;
}

std::vector<std::span<const std::byte>> Safetensors::file_bytes() const {
  std::vector<std::span<const std::byte>> spans;
  for (const MappedFile& file : files_) spans.push_back(file.bytes());
  return spans;
}

Result<SafetensorsWriter> SafetensorsWriter::create(const std::string& path, const std::vector<Entry>& entries) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  uint64_t bytes = 0;
  for (const Entry& entry : entries) {
    uint64_t values = 1;
    for (const int64_t extent : entry.shape) values *= static_cast<uint64_t>(extent);
    const uint64_t end = bytes + values * sizeof(float);
    header[entry.name] = {{"dtype", "F32"}, {"shape", entry.shape}, {"data_offsets", {bytes, end}}};
    bytes = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data starts aligned
  const uint64_t header_bytes = text.size();
  TRY_ASSIGN(OutputFile file, OutputFile::create(path));
  TRY(file.write(std::as_bytes(std::span(&header_bytes, 1))));
  TRY(file.write(text));
  return SafetensorsWriter(std::move(file), bytes / sizeof(float));
}

Result<void> SafetensorsWriter::append(std::span<const float> values) {
  CHECK_LE(values.size(), values_left_);
  values_left_ -= values.size();
  return file_.write(std::as_bytes(values));
}

Result<void> SafetensorsWriter::commit() {
  CHECK_EQ(values_left_, 0U);
  return file_.commit();
}

}  // namespace hotaru
