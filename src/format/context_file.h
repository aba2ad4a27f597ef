// A context on its way from one process to the next: ids, KV pages, a reply in progress. Its size follows what is used.
// What is inside is the same for every instruction set and thread count.
//
// Byte layout: a container (container.h, magic "HOTARUCX") of the sections
//   meta        FlatBuffer, context.fbs: which model and adapter, ids, page geometry, the cut reply
//   pages       ceil(stored_tokens / page_tokens) pages of page_bytes each, as the device's read_page gives them: the
//               planned KV page of the HEF, layers in order, keys and values in the packed order of kernels/packed.h.
//               Positions of the last page from stored_tokens on have no meaning.
//   host state  bytes of whoever saved it, as they were; the section is missing when there are none
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/container.h"
#include "format/context_generated.h"

namespace hotaru {

// Puts page `page` into `bytes`, meta.page_bytes of them.
using PageReader = std::function<void(int page, std::span<std::byte> bytes)>;

// The file appears under its name when it is complete.
Result<void> write_context_file(const std::string& path, const fb::SavedContextT& meta, std::string_view host_state,
                                const PageReader& read_page);

class ContextFile {
 public:
  static Result<ContextFile> open(const std::string& path);
  // A file that is already in memory and outlives the object.
  static Result<ContextFile> from_bytes(std::span<const std::byte> bytes, std::string_view place);

  // Verified: a cut reply has its sampling; the lengths fit each other and the pages. Empty vectors may be null.
  // Whether a model takes it (vocabulary, hashes, geometry) is not known here.
  [[nodiscard]] const fb::SavedContext& meta() const { return *meta_; }
  [[nodiscard]] std::span<const int32_t> ids() const;
  [[nodiscard]] int page_count() const { return page_count_; }
  [[nodiscard]] std::span<const std::byte> page(int page) const;
  [[nodiscard]] std::string_view host_state() const;
  [[nodiscard]] const Container& container() const { return container_; }

 private:
  static Result<ContextFile> check(Container container);
  Container container_;
  const fb::SavedContext* meta_ = nullptr;
  std::span<const std::byte> pages_;
  int page_count_ = 0;
};

std::vector<std::byte> pack_meta(const fb::SavedContextT& meta);

}  // namespace hotaru
