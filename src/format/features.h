// Names in `required_features` of HAR and HEF: a reader that does not know one refuses the file.
#pragma once

#include <string_view>

namespace hotaru {

inline constexpr std::string_view kFeatureWideInputs = "16-bit-inputs";  // of linears
inline constexpr std::string_view kFeaturePrefix = "prefix-tokens";      // constants before position 0
inline constexpr std::string_view kFeatureKeyBias = "key-bias-split";    // keys cached without their bias
inline constexpr std::string_view kFeatureLateBlock = "late-block";      // the head begins in the last block

}  // namespace hotaru
