// The WEIGHTS section of a HAR or HEF while it is being written: tensors one after the other, each at a multiple of 64
// bytes, and the list of them for the meta.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "format/container_writer.h"
#include "format/tensor_generated.h"

namespace hotaru {

struct TensorHeader {
  std::string name;
  fb::Layout layout = fb::Layout::F32;
  std::vector<uint64_t> shape;
};

class TensorSection {
 public:
  // Appends to the section that `writer` has open; the writer outlives the object.
  explicit TensorSection(ContainerWriter* writer) : writer_(writer) {}

  // Returns the tensor's index.
  Result<int> add(const TensorHeader& header, std::span<const std::byte> bytes);
  // The same piece by piece: begin(), append() as often as needed. A tensor ends where the next begins.
  Result<int> begin(const TensorHeader& header);
  Result<void> append(std::span<const std::byte> bytes);

  template <typename T>
  Result<int> add_vector(std::string name, fb::Layout layout, const std::vector<T>& values) {
    return add({std::move(name), layout, {values.size()}}, std::as_bytes(std::span(values)));
  }

  // Called by add() with what it adds; for a copy elsewhere.
  using Listener = std::function<void(const TensorHeader& header, std::span<const std::byte> bytes)>;
  void set_listener(Listener listener) { listener_ = std::move(listener); }
  [[nodiscard]] size_t count() const { return tensors_.size(); }

  [[nodiscard]] std::vector<std::unique_ptr<fb::TensorT>> take() { return std::move(tensors_); }

 private:
  ContainerWriter* writer_;
  std::vector<std::unique_ptr<fb::TensorT>> tensors_;
  Listener listener_;
};

}  // namespace hotaru
