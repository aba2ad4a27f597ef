// One reply at once, on the calling thread.
#pragma once

#include <functional>
#include <string_view>

#include "base/result.h"
#include "genai/generation.h"

namespace hotaru {

// Called with every piece of text, valid UTF-8. False stops the reply as an abort does.
using OnText = std::function<bool(std::string_view)>;

// Generates after the context's ids. `text` turns ids into text and looks for stop strings; nullptr: ids only. The last
// sampled token stays pending in the context. options.sampling must have passed check_sampling_params.
Result<Reply> generate(Context& context, const GenerationOptions& options, ReplyText* text, const OnText& on_text);

}  // namespace hotaru
