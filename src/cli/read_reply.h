// A reply from an engine to the terminal.
#pragma once

#include "base/result.h"
#include "cli/text_output.h"
#include "genai/conversation.h"

namespace hotaru::cli {

// Reads the turn's reply to its end and makes it part of the conversation. Text goes to `output` as it comes (nullptr:
// nowhere). Ctrl-C (cli/interrupt.h) and an output that nobody reads any more end the reply.
Result<Reply> read_reply(Conversation& conversation, Conversation::Turn& turn, TextOutput* output);

}  // namespace hotaru::cli
