// A context and its cut reply in a file (format/context_file.h), for another process, instruction set or thread count;
// for the same model and adapter.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "genai/context.h"
#include "genai/cut_reply.h"

namespace hotaru {

struct SaveOptions {
  std::string_view model_name;  // said when another model is asked to load the file
  std::string_view host_state;  // bytes of the caller's, given back by load_context
};

Result<void> save_context(const Context& context, const std::optional<CutReply>& cut, const SaveOptions& options,
                          const std::string& path);

struct RestoredContext {
  Context context;
  std::optional<CutReply> cut;
  std::string host_state;
};

// A new context beside those that the device has. Errors: kInvalid (a damaged file), kNotSupported (another model, a
// changed adapter, a later format), kNotFound (no such file or adapter), kNoMemory (more tokens than the device holds
// or has left). `model_name` is for messages.
Result<RestoredContext> load_context(Device& device, std::string_view model_name, const std::string& path);
// The same from a file in memory; `place` is its name.
Result<RestoredContext> load_context(Device& device, std::string_view model_name, std::span<const std::byte> file,
                                     std::string_view place);

}  // namespace hotaru
