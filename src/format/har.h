// A HAR (layout: container.h, meta: har.fbs), opened and checked: ids in range, tensors inside their section.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/thread_pool.h"
#include "format/container.h"
#include "format/har_generated.h"

namespace hotaru {

struct HarOptions {
  ThreadPool* pool = nullptr;
  bool verify_checksums = true;
};

class HarFile {
 public:
  static Result<HarFile> open(const std::string& path, const HarOptions& options = {});
  // A file that is already in memory and outlives the object.
  static Result<HarFile> from_bytes(std::span<const std::byte> bytes, std::string_view place,
                                    const HarOptions& options = {});

  // Verified: shape, tensors, values, parameters and nodes are there.
  [[nodiscard]] const fb::Har& meta() const { return *meta_; }
  [[nodiscard]] const Container& container() const { return container_; }
  // Tensor `id` of meta().tensors(), in the mapped file; 64-byte aligned.
  [[nodiscard]] std::span<const std::byte> tensor_bytes(int id) const;
  [[nodiscard]] uint64_t weight_bytes() const { return weights_.size(); }

 private:
  static Result<HarFile> check(Container container);
  Container container_;
  const fb::Har* meta_ = nullptr;
  std::span<const std::byte> weights_;
};

// The META section for an optimiser's result. The same meta gives the same bytes.
std::vector<std::byte> pack_meta(const fb::HarT& meta);

}  // namespace hotaru
