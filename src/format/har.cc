#include "format/har.h"

#include "base/check.h"
#include "format/graph_check.h"
#include "format/meta_check.h"

namespace hotaru {

Result<HarFile> HarFile::check(Container container) {
  TRY_ASSIGN(const auto bytes, meta_section(container));
  flatbuffers::Verifier verifier = meta_verifier(bytes);
  if (!fb::VerifyHarBuffer(verifier)) return invalid("the 'meta' section is malformed");
  HarFile file;
  file.meta_ = fb::GetHar(bytes.data());
  const auto weights = container.section(SectionType::kWeights);
  if (!weights) return invalid("the 'weights' section is missing");
  file.weights_ = *weights;
  const fb::Har& meta = *file.meta_;
  TRY(check_features(meta.required_features()));
  TRY(check_shape(meta.shape()));
  TRY(check_generation(meta.generation(), meta.shape()->vocabulary()));
  TRY(check_tensors(meta.tensors(), *weights));
  TRY(check_graph(meta));
  TRY(check_adapters(meta.adapters(), container));
  file.container_ = std::move(container);
  return file;
}

Result<HarFile> HarFile::open(const std::string& path, const HarOptions& options) {
  const Container::Options container_options{options.pool, options.verify_checksums};
  TRY_ASSIGN(Container container, Container::open(path, FileKind::kHar, container_options));
  auto file = check(std::move(container));
  if (!file) return at(path, std::move(file).error());
  return file;
}

Result<HarFile> HarFile::from_bytes(std::span<const std::byte> bytes, std::string_view place,
                                    const HarOptions& options) {
  const Container::Options container_options{options.pool, options.verify_checksums};
  TRY_ASSIGN(Container container, Container::from_bytes(bytes, FileKind::kHar, place, container_options));
  auto file = check(std::move(container));
  if (!file) return at(place, std::move(file).error());
  return file;
}

std::span<const std::byte> HarFile::tensor_bytes(int id) const {
  CHECK_GE(id, 0);
  CHECK_LT(static_cast<unsigned>(id), meta_->tensors()->size());
  const fb::Tensor* tensor = meta_->tensors()->Get(static_cast<unsigned>(id));
  return weights_.subspan(tensor->offset(), tensor->bytes());
}

std::vector<std::byte> pack_meta(const fb::HarT& meta) {
  flatbuffers::FlatBufferBuilder builder;
  fb::FinishHarBuffer(builder, fb::Har::Pack(builder, &meta));
  const auto bytes = std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize()));
  return {bytes.begin(), bytes.end()};
}

}  // namespace hotaru
