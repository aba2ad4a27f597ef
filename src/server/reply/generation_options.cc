#include "server/reply/generation_options.h"

#include <optional>

#include "genai/grammar_mask.h"
#include "server/reply/tool_grammar.h"

namespace hotaru::server {

Result<GenerationOptions> generation_options(const ReplyTask& task, const ReplyDialect& dialect,
                                             const LanguageModel& model) {
  GenerationOptions options;
  options.sampling = resolve_sampling(task.sampling, model.defaults());
  TRY(check_sampling_params(options.sampling, model.device().info().vocabulary));
  options.max_tokens = task.max_tokens;
  options.stop_ids = model.defaults().eos_ids;
  if (!options.stop_ids.empty()) options.recovery_ids = {options.stop_ids.front()};
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
