#include "compiler/text_sections.h"

#include <span>

namespace hotaru {

Result<std::optional<TextBundle>> load_text(const std::string& checkpoint_directory) {
  auto bundle = TextBundle::load(checkpoint_directory);
  if (bundle) return std::optional<TextBundle>(*std::move(bundle));
  if (bundle.error().kind == ErrorKind::kNotFound) return std::optional<TextBundle>();
  return std::move(bundle).error();
}

Result<void> write_text_sections(ContainerWriter& writer, const TextBundle& text) {
  TRY(writer.add_section(SectionType::kTokenizer, 0, std::as_bytes(std::span(text.tokenizer_json))));
  const std::string rest = text.to_json();
  return writer.add_section(SectionType::kTokenizerConfig, 0, std::as_bytes(std::span(rest)));
}

Result<void> copy_text_sections(const Container& from, ContainerWriter& to) {
  for (const SectionType type : {SectionType::kTokenizer, SectionType::kTokenizerConfig, SectionType::kModelConfig}) {
    const auto bytes = from.section(type);
    if (bytes) TRY(to.add_section(type, 0, *bytes));
  }
  return {};
}

}  // namespace hotaru
