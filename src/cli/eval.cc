// hotaru eval ppl|hellaswag|logits|compare: accuracy of a float checkpoint or a HEF.
#include <algorithm>
#include <cstdio>

#include "base/file.h"
#include "base/log.h"
#include "cli/eval_options.h"

namespace hotaru::cli {
namespace {

constexpr size_t kLongestTextBytes = size_t{1} << 30;

}  // namespace

void add_text_options(CLI::App& command, TextOptions& options) {
  command.add_option("--text", options.path, "UTF-8 text, tokenised once, without special tokens")->required();
  command.add_option("--segment", options.segment_tokens, "Tokens the model sees at once (default 2048, or its limit)")
      ->check(CLI::Range(2, 1 << 24));
  command.add_option("--limit-segments", options.limit_segments, "Only the first N segments")
      ->check(CLI::PositiveNumber);
  command.add_flag("--bos", options.bos, "Begin every segment with the tokenizer's BOS, as one of its tokens");
}

Result<TokenisedText> tokenise(const TextOptions& options, const LogitModel& model, int64_t max_tokens) {
  TRY_ASSIGN(const Tokenizer* tokenizer, tokenizer_of(model));
  TRY_ASSIGN(const std::string content, read_text_file(options.path, kLongestTextBytes));
  TokenisedText text;
  auto ids = tokenizer->encode(content);
  if (!ids) return at(options.path, std::move(ids).error());
  text.ids = *std::move(ids);
  text.bytes = static_cast<int64_t>(content.size());
  text.segments.segment_tokens = std::min(options.segment_tokens, max_tokens);
  text.segments.limit_segments = options.limit_segments;
  if (max_tokens < options.segment_tokens) {
    log_warning(fmt::format("segments of {} tokens: '{}' sees no more at once", max_tokens, model.name));
  }
  if (options.bos) {
    if (!model.bos_id) return invalid("--bos: '{}' has no BOS token", model.name);
    text.segments.bos_id = model.bos_id;
  }
  return text;
}

void add_lora_option(CLI::App& command, std::string& lora) {
  command
      .add_option("--lora", lora,
                  "Adapter: a PEFT directory for a checkpoint, a name for a HEF; NAME=DIR, or DIR when the HEF has it "
                  "under the directory's name, for both")
      ->type_name("NAME|DIR");
}

void print_json(const Json& json) {
  std::fputs((json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n").c_str(), stdout);
}

void add_eval(CLI::App& app) {
  CLI::App* eval = app.add_subcommand("eval", "Accuracy of a float checkpoint or a HEF");
  eval->require_subcommand(1);
  add_eval_ppl(*eval);
  add_eval_hellaswag(*eval);
  add_eval_logits(*eval);
  add_eval_compare(*eval);
}

}  // namespace hotaru::cli
