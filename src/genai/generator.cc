#include "genai/generator.h"

#include "genai/scheduler.h"

namespace hotaru {

Result<Reply> generate(Context& context, const GenerationOptions& options, ReplyText* text, const OnText& on_text) {
  Generation::Outlets outlets;
  outlets.text = text;
  if (on_text) {
    outlets.on_piece = [&on_text](const ReplyPiece& piece) { return piece.text.empty() || on_text(piece.text); };
  }
  TRY_ASSIGN(Generation generation, Generation::begin(context, options, std::move(outlets)));
  Scheduler scheduler(context.device(), {});
  scheduler.add(generation);
  while (!generation.has_ended()) scheduler.step();
  if (generation.error()) return *generation.error();
  return generation.take_reply();
}

}  // namespace hotaru
