#include "genai/reply.h"

#include "base/check.h"

namespace hotaru {

std::string_view reply_status_name(ReplyStatus status) {
  switch (status) {
    case ReplyStatus::kLogicalEnd:
      return "logical_end";
    case ReplyStatus::kMaxTokens:
      return "max_tokens";
    case ReplyStatus::kAborted:
      return "aborted";
    case ReplyStatus::kContextFull:
      return "context_full";
  }
  CHECK(false);
  return "";
}

}  // namespace hotaru
