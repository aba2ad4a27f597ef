// Options and text that the commands under `hotaru eval` share; each is in a file of its own.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/command.h"
#include "cli/logit_models.h"
#include "eval/segments.h"

namespace hotaru::cli {

// Text to measure on: --text, --segment, --limit-segments, --bos.
struct TextOptions {
  std::string path;
  int64_t segment_tokens = 2048;
  int64_t limit_segments = 0;
  bool bos = false;
};
void add_text_options(CLI::App& command, TextOptions& options);

// A text as token ids, ready to be cut into segments that `max_tokens` allows.
struct TokenisedText {
  std::vector<int32_t> ids;
  int64_t bytes = 0;
  SegmentOptions segments;
};
Result<TokenisedText> tokenise(const TextOptions& options, const LogitModel& model, int64_t max_tokens);

void add_lora_option(CLI::App& command, std::string& lora);

void print_json(const Json& json);

void add_eval_ppl(CLI::App& eval);
void add_eval_logits(CLI::App& eval);
void add_eval_hellaswag(CLI::App& eval);
void add_eval_compare(CLI::App& eval);

}  // namespace hotaru::cli
