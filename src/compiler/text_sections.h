// The text of a model inside HAR and HEF: section `tokenizer` holds tokenizer.json, `tokenizer config` the rest of the
// TextBundle.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "format/container.h"
#include "format/container_writer.h"
#include "text/text_bundle.h"

namespace hotaru {

// Nothing for a checkpoint without a tokenizer.
Result<std::optional<TextBundle>> load_text(const std::string& checkpoint_directory);
Result<void> write_text_sections(ContainerWriter& writer, const TextBundle& text);

// From a HAR into a HEF, byte for byte; what is not there is left out.
Result<void> copy_text_sections(const Container& from, ContainerWriter& to);

}  // namespace hotaru
