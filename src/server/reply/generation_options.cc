#include "server/reply/generation_options.h"

#include <optional>

#include "genai/grammar_mask.h"
#include "server/reply/tool_grammar.h"

namespace hotaru::server {

Result<GenerationOptions> generation_options(const ReplyTask& task, const ReplyDialect& dialect,
                                             const LanguageModel& model) {
  TRY_ASSIGN(GenerationOptions options, model.generation_options(task.sampling));
  options.max_tokens = task.max_tokens;
  options.when_full = task.when_full;
  options.keep_tokens = task.keep_tokens;
  std::optional<GrammarSpec> grammar = task.grammar;
  if (model.has_tokenizer()) {
    TRY_ASSIGN(grammar, grammar_of(task, dialect, *model.tokenizer()));
  }
  if (grammar) TRY(obey_grammar(options, *grammar, model));
  return options;
}

}  // namespace hotaru::server
