#include "cli/read_reply.h"

#include "cli/interrupt.h"

namespace hotaru::cli {
namespace {

// How soon Ctrl-C is seen while a long prompt is read.
constexpr std::chrono::milliseconds kGlance(50);

Result<void> read_pieces(ReplyStream& stream, TextOutput* output) {
  while (true) {
    Result<std::vector<ReplyPiece>> pieces = stream.read(kGlance);
    bool is_unheard = InterruptScope::interrupted();
    if (pieces) {
      if (pieces->empty()) return {};
      for (const ReplyPiece& piece : *pieces) {
        if (output != nullptr && !output->write(piece.text)) is_unheard = true;
      }
    } else if (pieces.error().kind != ErrorKind::kTimeout) {
      return std::move(pieces).error();
    }
    if (is_unheard) stream.abort();
  }
}

}  // namespace

Result<Reply> read_reply(Conversation& conversation, Conversation::Turn& turn, TextOutput* output) {
  if (Result<void> read = read_pieces(*turn.stream, output); !read) {
    conversation.drop();
    return std::move(read).error();
  }
  conversation.finish(turn.stream->result());
  return turn.stream->result();
}

}  // namespace hotaru::cli
