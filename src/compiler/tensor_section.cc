#include "compiler/tensor_section.h"

#include "base/check.h"

namespace hotaru {

namespace {
constexpr size_t kAlignment = 64;
}

Result<int> TensorSection::begin(const TensorHeader& header) {
  TRY(writer_->align(kAlignment));
  auto tensor = std::make_unique<fb::TensorT>();
  tensor->name = header.name;
  tensor->layout = header.layout;
  tensor->shape = header.shape;
  tensor->offset = writer_->section_position();
  tensors_.push_back(std::move(tensor));
  return static_cast<int>(tensors_.size()) - 1;
}

Result<void> TensorSection::append(std::span<const std::byte> bytes) {
  CHECK(!tensors_.empty());
  tensors_.back()->bytes += bytes.size();
  return writer_->append(bytes);
}

Result<int> TensorSection::add(const TensorHeader& header, std::span<const std::byte> bytes) {
  TRY_ASSIGN(const int index, begin(header));
  TRY(append(bytes));
  if (listener_) listener_(header, bytes);
  return index;
}

}  // namespace hotaru
