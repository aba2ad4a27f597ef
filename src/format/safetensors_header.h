// The JSON header of a safetensors file as checked entries. Pure: bytes in, entries or an error out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "tensor/dtype.h"

namespace hotaru {

struct SafetensorsEntry {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // bytes from the start of the file
  uint64_t end = 0;
};

// "[2048, 512]"
std::string shape_text(std::span<const int64_t> shape);

// Reads and checks the header of a whole file. Entries come in the order of their data.
Result<std::vector<SafetensorsEntry>> parse_safetensors_header(std::span<const std::byte> file, std::string_view place);

}  // namespace hotaru
