// What `hotaru run` was asked for: set by flags, and in the chat by /set.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "genai/conversation.h"
#include "text/grammar.h"

namespace hotaru::cli {

struct RunSettings {
  SamplingChoice sampling;
  int max_tokens = -1;
  std::vector<std::string> stop;
  WhenFull when_full = WhenFull::kStop;
  int prefill_chunk = 0;
  bool hash_logits = false;
  bool verbose = false;
  std::string system;
  std::string adapter;  // "": none
  std::optional<GrammarSpec> format;
};

// The number of the adapter that the settings name.
Result<int> chosen_adapter(const RunSettings& settings, const LanguageModel& model);
std::string adapter_name(const LanguageModel& model, int adapter);  // "": none

// The options of one reply, checked.
Result<TurnOptions> turn_options(const RunSettings& settings, const LanguageModel& model);

// /set parameter NAME VALUE. Errors name the parameter, or list all of them.
Result<void> set_parameter(RunSettings& settings, std::string_view name, const std::string& value);
// What holds for the next reply, one parameter a line.
std::string parameters_text(const RunSettings& settings, const LanguageModel& model);

// "json", a JSON schema, or a file that holds one.
Result<GrammarSpec> parse_format(const std::string& text);

// "ID=BIAS": the number is added to the logit of that token; -inf forbids it.
Result<LogitBias> parse_logit_bias(const std::string& text);

// Timings as Ollama prints them. load_seconds: 0 when the model was there already.
std::string verbose_text(const Reply& reply, double load_seconds);

}  // namespace hotaru::cli
