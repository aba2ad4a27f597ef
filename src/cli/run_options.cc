#include "cli/run_options.h"

#include <limits>

#include "base/size_text.h"
#include "cli/parse_number.h"

namespace hotaru::cli {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// CLI11 takes the message of a failed conversion as an exception.
template <typename T>
T value_or_usage_error(Result<T> result, const char* flag) {
  if (!result) throw CLI::ValidationError(flag, result.error().message);
  return *std::move(result);
}

// Refuses what `is_good` does not accept, saying what is wanted.
template <typename T, typename IsGood>
CLI::Validator number(const char* want, IsGood is_good) {
  const auto check = [want, is_good](std::string& text) {
    const std::optional<T> value = parse_number<T>(text);
    return value && is_good(*value) ? std::string() : fmt::format("got '{}', want {}", text, want);
  };
  return CLI::Validator(check, "");
}
CLI::Validator share() {
  return number<float>("a number from 0 to 1", [](float x) { return x >= 0.0F && x <= 1.0F; });
}
CLI::Validator finite() {
  return number<float>("a finite number", [](float x) { return x > -kInfinity && x < kInfinity; });
}
CLI::Validator count() {
  return number<int>("a whole number of 0 or more", [](int x) { return x >= 0; });
}

void add_sampling(CLI::App& command, SamplingChoice& sampling) {
  command.add_option("--temperature", sampling.temperature, "0 is greedy (default: the model's, or 1)")
      ->check(number<float>("a number of 0 (greedy) or more", [](float x) { return x >= 0.0F && x < kInfinity; }));
  command.add_option("--top-p", sampling.top_p, "Sample from the best tokens that make up this probability; 1: off")
      ->check(share());
  command.add_option("--top-k", sampling.top_k, "Sample from the K best tokens; 0: off")->check(count());
  command.add_option("--min-p", sampling.min_p, "Drop tokens below this share of the best one's probability; 0: off")
      ->check(share());
  command
      .add_option("--repetition-penalty", sampling.repetition_penalty,
                  "Divides the logits of generated tokens; 1: off (default: the model's, or 1.1; 1 at temperature 0)")
      ->check(number<float>("a number above 0", [](float x) { return x > 0.0F && x < kInfinity; }));
  command
      .add_option("--frequency-penalty", sampling.frequency_penalty,
                  "Subtracted from a logit for every time its token was generated")
      ->check(finite());
  command
      .add_option("--presence-penalty", sampling.presence_penalty,
                  "Subtracted from a logit once its token was generated")
      ->check(finite());
  command.add_option("--seed", sampling.seed, "The same seed gives the same reply (default: random)")
      ->check(number<uint64_t>("a whole number from 0 to 2^64 - 1", [](uint64_t) { return true; }));
  for (const char* flag :
       {"--temperature", "--top-p", "--min-p", "--repetition-penalty", "--frequency-penalty", "--presence-penalty"}) {
    command.get_option(flag)->type_name("NUMBER");
  }
  const auto take_biases = [&sampling](const std::vector<std::string>& entries) {
    for (const std::string& entry : entries) {
      sampling.logit_bias.push_back(value_or_usage_error(parse_logit_bias(entry), "--logit-bias"));
    }
  };
  command
      .add_option_function<std::vector<std::string>>("--logit-bias", take_biases,
                                                     "Add B to the logit of token ID; -inf forbids it (repeatable)")
      ->type_name("ID=B")
      ->expected(1)
      ->take_all();
}

std::vector<int32_t> parse_ids(const std::string& text) {
  std::vector<int32_t> ids;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::optional<int32_t> id = parse_number<int32_t>(std::string_view(text).substr(begin, end - begin));
    if (!id) throw CLI::ValidationError("--prompt-ids", fmt::format("got '{}', want token ids as in 1,2,3", text));
    ids.push_back(*id);
    begin = end + 1;
  }
  return ids;
}

void add_prompt(CLI::App& command, RunOptions& options) {
  command.add_option("HEF", options.hef_path, "A compiled model, or a name of `hotaru list`")
      ->required()
      ->type_name("FILE|NAME");
  CLI::Option* prompt = command.add_option("PROMPT", options.prompt,
                                           "One message; without it stdin is read, or on a terminal a chat begins");
  CLI::Option* system =
      command.add_option("--system", options.settings.system, "Instructions in front of the conversation");
  command.add_flag("--raw", options.raw, "The prompt goes to the model as it stands, without the chat template")
      ->excludes(system);
  command
      .add_option_function<std::string>(
          "--prompt-ids", [&options](const std::string& text) { options.prompt_ids = parse_ids(text); },
          "The prompt as token ids: 1,2,3")
      ->type_name("IDS")
      ->excludes(prompt)
      ->excludes(system);
}

WhenFull parse_when_full(const std::string& text) {
  if (text == "error") return WhenFull::kError;
  if (text == "stop") return WhenFull::kStop;
  if (text == "shift") return WhenFull::kShift;
  throw CLI::ValidationError("--when-full", fmt::format("got '{}', want error, stop or shift", text));
}

void add_limits(CLI::App& command, RunOptions& options) {
  RunSettings& settings = options.settings;
  command
      .add_option("-n,--max-tokens", settings.max_tokens,
                  "Generate at most this many tokens; 0: only read the prompt (default: what the context holds)")
      ->check(count());
  command.add_option("--stop", settings.stop, "End the reply before this text (repeatable)")->expected(1)->take_all();
  command
      .add_option_function<std::string>(
          "--format",
          [&settings](const std::string& text) {
            settings.format = value_or_usage_error(parse_format(text), "--format");
          },
          "The reply obeys it: json, a JSON schema, or a file that holds one")
      ->type_name("FORMAT");
  command
      .add_option_function<std::string>(
          "--when-full", [&settings](const std::string& text) { settings.when_full = parse_when_full(text); },
          "When the context is full: error, stop (the default), or shift, which forgets its oldest tokens")
      ->type_name("POLICY");
  command.add_option("--prefill-chunk", settings.prefill_chunk, "Prompt tokens a step; changes the speed only")
      ->check(number<int>("a whole number of 1 or more", [](int x) { return x >= 1; }));
  command
      .add_option_function<std::string>(
          "--memory",
          [&options](const std::string& text) {
            options.memory_bytes = value_or_usage_error(parse_size(text), "--memory");
          },
          "Device memory, as in 1.5GiB (default: the machine's)")
      ->type_name("BYTES");
}

}  // namespace

void add_run_options(CLI::App& command, RunOptions& options) {
  add_prompt(command, options);
  add_sampling(command, options.settings.sampling);
  add_limits(command, options);
  command.add_option("--lora", options.settings.adapter, "Adapter of the HEF, see hotaru lora list")->type_name("NAME");
  CLI::Option* load = command.add_option("--load-context", options.load_context, "Go on from a saved conversation");
  load->type_name("FILE");
  command.add_option("--save-context", options.save_context, "Save the conversation at the end")->type_name("FILE");
  command.add_flag("--resume", options.resumes, "Go on with the cut reply of the loaded conversation; no prompt")
      ->needs(load)
      ->excludes("--format");
  command.add_flag("--verbose", options.settings.verbose, "Timings on stderr after the reply");
  command.add_flag("--hash-logits", options.settings.hash_logits,
                   "SHA-256 over the logits of every step: the same on every machine");
  add_global_options(command, options.global);
}

}  // namespace hotaru::cli
