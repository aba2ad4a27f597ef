#include "format/hef.h"

#include "base/check.h"
#include "format/adapter_check.h"
#include "format/meta_check.h"
#include "format/program_check.h"

namespace hotaru {
namespace {

Result<void> check_kv(const fb::Hef& meta) {
  if (meta.kv() == nullptr) return invalid("the KV plan is missing");
  const fb::KvPlan& kv = *meta.kv();
  const fb::ModelShape& shape = *meta.shape();
  if (kv.page_tokens() != kPlannedPageTokens) {
    return not_supported("KV plan: got pages of {} tokens, want {}", kv.page_tokens(), kPlannedPageTokens);
  }
  const uint64_t page_bytes = uint64_t{2} * shape.layers() * shape.kv_heads() * shape.head_width() * kPlannedPageTokens;
  if (kv.page_bytes() != page_bytes) {
    return invalid("KV plan: got pages of {} bytes, want {}", kv.page_bytes(), page_bytes);
  }
  const uint64_t positions = uint64_t{kv.context_tokens()} + kv.position_offset();
  if (kv.context_tokens() == 0 || positions > kMaxPlannedContext) {
    return invalid("KV plan: got {} positions, want 1 to {}", positions, kMaxPlannedContext);
  }
  if (uint64_t{kv.pages()} * kPlannedPageTokens < kv.context_tokens() || kv.pages() > kMaxExtent) {
    return invalid("KV plan: got {} pages for {} tokens", kv.pages(), kv.context_tokens());
  }
  return {};
}

Result<void> check_prefix(const fb::Hef& meta) {
  constexpr uint32_t kMaxPrefixTokens = 16;  // kernels/attention/attention.h
  const uint32_t tokens = meta.prefix() == nullptr ? 0 : meta.prefix()->size();
  if (tokens != meta.kv()->position_offset() || tokens > kMaxPrefixTokens) {
    return invalid("got {} prefix tokens for a position offset of {}, want as many, at most {}", tokens,
                   meta.kv()->position_offset(), kMaxPrefixTokens);
  }
  for (uint32_t i = 0; i < tokens; i++) {
    const int64_t id = meta.prefix()->Get(i);
    if (id >= 0 && id < int64_t{meta.shape()->vocabulary()}) continue;
    return invalid("prefix: got the token id {}, want 0 to {}", id, meta.shape()->vocabulary() - 1);
  }
  return {};
}

Result<void> check_memory(const fb::Hef& meta, uint64_t weight_bytes) {
  if (meta.memory() == nullptr) return invalid("the memory plan is missing");
  const fb::MemoryPlan& memory = *meta.memory();
  if (memory.weights() != weight_bytes) {
    return invalid("memory plan: got {} weight bytes, the section has {}", memory.weights(), weight_bytes);
  }
  const uint64_t kv_bytes = meta.kv()->page_bytes() * meta.kv()->pages();  // at most 2^43 times 2^24, as checked
  if (memory.kv() != kv_bytes) return invalid("memory plan: got {} KV bytes, want {}", memory.kv(), kv_bytes);
  uint64_t total = 0;
  for (const uint64_t part : {memory.weights(), memory.kv(), memory.activations(), memory.tables(), memory.adapters(),
                              memory.workspace_per_thread()}) {
    if (part > kMaxPlannedBytes) return invalid("memory plan: {} bytes are beyond reason", part);
    total += part;
  }
  if (memory.total() != total) return invalid("memory plan: got {} bytes in total, want {}", memory.total(), total);
  return {};
}

}  // namespace

Result<HefFile> HefFile::check(Container container, const HefOptions& options) {
  TRY_ASSIGN(const auto bytes, meta_section(container));
  flatbuffers::Verifier verifier = meta_verifier(bytes);
  if (!fb::VerifyHefBuffer(verifier)) return invalid("the 'meta' section is malformed");
  HefFile file;
  file.meta_ = fb::GetHef(bytes.data());
  const auto weights = container.section(SectionType::kWeights);
  if (!weights) return invalid("the 'weights' section is missing");
  file.weights_ = *weights;
  const fb::Hef& meta = *file.meta_;
  TRY(check_features(meta.required_features()));
  TRY(check_shape(meta.shape()));
  TRY(check_generation(meta.generation(), meta.shape()->vocabulary()));
  TRY(check_tensors(meta.tensors(), *weights));
  TRY(check_kv(meta));
  TRY(check_prefix(meta));
  TRY(check_memory(meta, weights->size()));
  TRY(check_adapters(meta.adapters(), container));
  TRY(check_programs(meta, *weights));
  TRY(check_adapter_sites(meta));
  if (options.verify_checksums) TRY(check_multipliers(meta, *weights, options.pool));
  file.container_ = std::move(container);
  return file;
}

Result<HefFile> HefFile::open(const std::string& path, const HefOptions& options) {
  const Container::Options container_options{options.pool, options.verify_checksums};
  TRY_ASSIGN(Container container, Container::open(path, FileKind::kHef, container_options));
  auto file = check(std::move(container), options);
  if (!file) return at(path, std::move(file).error());
  return file;
}

Result<HefFile> HefFile::from_bytes(std::span<const std::byte> bytes, std::string_view place,
                                    const HefOptions& options) {
  const Container::Options container_options{options.pool, options.verify_checksums};
  TRY_ASSIGN(Container container, Container::from_bytes(bytes, FileKind::kHef, place, container_options));
  auto file = check(std::move(container), options);
  if (!file) return at(place, std::move(file).error());
  return file;
}

std::span<const std::byte> HefFile::tensor_bytes(int id) const {
  CHECK_GE(id, 0);
  CHECK_LT(static_cast<unsigned>(id), meta_->tensors()->size());
  const fb::Tensor* tensor = meta_->tensors()->Get(static_cast<unsigned>(id));
  return weights_.subspan(tensor->offset(), tensor->bytes());
}

std::span<const std::byte> HefFile::adapter_bytes(const fb::Adapter& adapter, const fb::Tensor& tensor) const {
  const auto section = container_.section(SectionType::kAdapter, adapter.section());
  CHECK(section.has_value());
  return section->subspan(tensor.offset(), tensor.bytes());
}

const fb::Program* HefFile::find_program(std::string_view name) const {
  for (const fb::Program* program : *meta_->programs()) {
    if (text_of(program->name()) == name) return program;
  }
  return nullptr;
}

const fb::Adapter* HefFile::find_adapter(std::string_view name) const {
  if (meta_->adapters() == nullptr) return nullptr;
  for (const fb::Adapter* adapter : *meta_->adapters()) {
    if (text_of(adapter->name()) == name) return adapter;
  }
  return nullptr;
}

std::vector<std::byte> pack_meta(const fb::HefT& meta) {
  flatbuffers::FlatBufferBuilder builder;
  fb::FinishHefBuffer(builder, fb::Hef::Pack(builder, &meta));
  const auto bytes = std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize()));
  return {bytes.begin(), bytes.end()};
}

}  // namespace hotaru
