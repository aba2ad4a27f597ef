// A HEF (layout: container.h, meta: hef.fbs), opened and checked: whoever has a HefFile can play its programs without
// reading or writing outside a tensor or a buffer.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "format/container.h"
#include "format/hef_generated.h"

namespace hotaru {

struct HefOptions {
  ThreadPool* pool = nullptr;    // shares the checksums' work
  bool verify_checksums = true;  // also the range of every group multiplier
};

class HefFile {
 public:
  static Result<HefFile> open(const std::string& path, const HefOptions& options = {});
  // A file that is already in memory and outlives the object.
  static Result<HefFile> from_bytes(std::span<const std::byte> bytes, std::string_view place,
                                    const HefOptions& options = {});

  // Verified: shape, kv, memory, tensors and programs (with buffers and calls) are there.
  [[nodiscard]] const fb::Hef& meta() const { return *meta_; }
  [[nodiscard]] const Container& container() const { return container_; }
  // Tensor `id` of meta().tensors(), in the mapped file; 64-byte aligned.
  [[nodiscard]] std::span<const std::byte> tensor_bytes(int id) const;
  // A tensor of an adapter (index into meta().adapters()).
  [[nodiscard]] std::span<const std::byte> adapter_bytes(const fb::Adapter& adapter, const fb::Tensor& tensor) const;
  // Null if there is none.
  [[nodiscard]] const fb::Program* find_program(std::string_view name) const;
  [[nodiscard]] const fb::Adapter* find_adapter(std::string_view name) const;
  [[nodiscard]] uint64_t weight_bytes() const { return weights_.size(); }

 private:
  static Result<HefFile> check(Container container, const HefOptions& options);
  Container container_;
  const fb::Hef* meta_ = nullptr;
  std::span<const std::byte> weights_;
};

// The META section for a compiler's result. The same meta gives the same bytes.
std::vector<std::byte> pack_meta(const fb::HefT& meta);

}  // namespace hotaru
