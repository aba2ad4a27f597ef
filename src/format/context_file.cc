#include "format/context_file.h"

#include "base/check.h"
#include "format/container_writer.h"
#include "format/meta_check.h"

namespace hotaru {
namespace {

constexpr uint64_t kMaxPageBytes = uint64_t{1} << 32;
constexpr uint64_t kMaxContextIds = uint64_t{1} << 24;

// FlatBuffers' packer leaves an empty vector out.
template <typename T>
uint64_t size_of(const flatbuffers::Vector<T>* vector) {
  return vector == nullptr ? 0 : vector->size();
}

uint64_t pages_of(uint64_t tokens, uint64_t page_tokens) { return (tokens + page_tokens - 1) / page_tokens; }

Result<void> check_reply(const fb::SavedReply& reply, uint64_t ids) {
  if (reply.sampling() == nullptr) return invalid("cut reply: its sampling is missing");
  if (reply.recovery_tokens() > size_of(reply.recovery_ids())) {
    return invalid("cut reply: got {} recovery tokens, its sequence has {}", reply.recovery_tokens(),
                   size_of(reply.recovery_ids()));
  }
  if (reply.recovery_tokens() > ids) {
    return invalid("cut reply: got {} recovery tokens at the end of {} ids", reply.recovery_tokens(), ids);
  }
  // More than there are ids: a context that shifted has forgotten some.
  if (size_of(reply.generated()) > kMaxContextIds) {
    return invalid("cut reply: got {} generated ids, want at most {}", size_of(reply.generated()), kMaxContextIds);
  }
  return {};
}

Result<void> check_lengths(const fb::SavedContext& meta, uint64_t page_section_bytes) {
  const uint64_t ids = size_of(meta.ids());
  if (ids > kMaxContextIds) return invalid("got {} ids, want at most {}", ids, kMaxContextIds);
  if (meta.stored_tokens() > ids) return invalid("got {} stored tokens of {} ids", meta.stored_tokens(), ids);
  if (meta.page_tokens() == 0 || meta.page_tokens() > kMaxContextIds) {
    return invalid("got pages of {} tokens, want 1 to {}", meta.page_tokens(), kMaxContextIds);
  }
  if (meta.page_bytes() == 0 || meta.page_bytes() > kMaxPageBytes) {
    return invalid("got pages of {} bytes, want 1 to {}", meta.page_bytes(), kMaxPageBytes);
  }
  // At most 2^24 pages of 2^32 bytes.
  const uint64_t want = pages_of(meta.stored_tokens(), meta.page_tokens()) * meta.page_bytes();
  if (page_section_bytes != want) {
    return invalid("section 'pages': got {} bytes, {} tokens take {}", page_section_bytes, meta.stored_tokens(), want);
  }
  if (meta.cut_reply() != nullptr) TRY(check_reply(*meta.cut_reply(), ids));
  return {};
}

}  // namespace

std::vector<std::byte> pack_meta(const fb::SavedContextT& meta) {
  flatbuffers::FlatBufferBuilder builder;
  fb::FinishSavedContextBuffer(builder, fb::SavedContext::Pack(builder, &meta));
  const auto bytes = std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize()));
  return {bytes.begin(), bytes.end()};
}

Result<void> write_context_file(const std::string& path, const fb::SavedContextT& meta, std::string_view host_state,
                                const PageReader& read_page) {
  CHECK_LE(meta.stored_tokens, meta.ids.size());
  TRY_ASSIGN(ContainerWriter writer, ContainerWriter::create(path, FileKind::kContext));
  TRY(writer.add_section(SectionType::kMeta, 0, pack_meta(meta)));
  if (!host_state.empty()) TRY(writer.add_section(SectionType::kHostState, 0, std::as_bytes(std::span(host_state))));
  TRY(writer.begin_section(SectionType::kPages));
  std::vector<std::byte> page(meta.page_bytes);
  const auto pages = static_cast<int>(pages_of(meta.stored_tokens, meta.page_tokens));
  for (int p = 0; p < pages; p++) {
    read_page(p, page);
    TRY(writer.append(page));
  }
  TRY(writer.end_section());
  return writer.finish();
}

Result<ContextFile> ContextFile::check(Container container) {
  TRY_ASSIGN(const auto bytes, meta_section(container));
  flatbuffers::Verifier verifier = meta_verifier(bytes);
  if (!fb::VerifySavedContextBuffer(verifier)) return invalid("the 'meta' section is malformed");
  ContextFile file;
  file.meta_ = fb::GetSavedContext(bytes.data());
  const auto pages = container.section(SectionType::kPages);
  if (!pages) return invalid("the 'pages' section is missing");
  TRY(check_lengths(*file.meta_, pages->size()));
  file.pages_ = *pages;
  file.page_count_ = static_cast<int>(pages->size() / file.meta_->page_bytes());
  file.container_ = std::move(container);
  return file;
}

Result<ContextFile> ContextFile::open(const std::string& path) {
  TRY_ASSIGN(Container container, Container::open(path, FileKind::kContext, {}));
  auto file = check(std::move(container));
  if (!file) return at(path, std::move(file).error());
  return file;
}

Result<ContextFile> ContextFile::from_bytes(std::span<const std::byte> bytes, std::string_view place) {
  TRY_ASSIGN(Container container, Container::from_bytes(bytes, FileKind::kContext, place, {}));
  auto file = check(std::move(container));
  if (!file) return at(place, std::move(file).error());
  return file;
}

std::span<const int32_t> ContextFile::ids() const {
  if (meta_->ids() == nullptr) return {};
  return {meta_->ids()->data(), meta_->ids()->size()};
}

std::span<const std::byte> ContextFile::page(int page) const {
  CHECK(page >= 0 && page < page_count_);
  return pages_.subspan(static_cast<size_t>(page) * meta_->page_bytes(), meta_->page_bytes());
}

std::string_view ContextFile::host_state() const {
  return container_.text(SectionType::kHostState).value_or(std::string_view());
}

}  // namespace hotaru
