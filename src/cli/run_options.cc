#include "cli/run_options.h"

#include <limits>

#include "base/size_text.h"

namespace hotaru::cli {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();

// CLI11 takes the message of a failed conversion as an exception.
template <typename T>
T value_or_usage_error(Result<T> result, const char* flag) {
  if (!result) throw CLI::ValidationError(flag, result.error().message);
  return *std::move(result);
}

void add_sampling(CLI::App& command, SamplingChoice& sampling) {
  command.add_option("--temperature", sampling.temperature, "0 is greedy (default: the model's, or 1)")
      ->check(CLI::Range(0.0F, kLargest));
  command.add_option("--top-p", sampling.top_p, "Sample from the best tokens that make up this probability; 1: off")
      ->check(CLI::Range(0.0F, 1.0F));
  command.add_option("--top-k", sampling.top_k, "Sample from the K best tokens; 0: off")
      ->check(CLI::Range(0, std::numeric_limits<int>::max()));
  command.add_option("--min-p", sampling.min_p, "Drop tokens below this share of the best one's probability; 0: off")
      ->check(CLI::Range(0.0F, 1.0F));
  command
      .add_option("--repetition-penalty", sampling.repetition_penalty,
                  "Divides the logits of generated tokens (default: the model's, or 1.1; 1 at temperature 0)")
      ->check(CLI::Range(std::numeric_limits<float>::min(), kLargest));
  command
      .add_option("--frequency-penalty", sampling.frequency_penalty,
                  "Subtracted from a logit for every time the token was generated")
      ->check(CLI::Range(-kLargest, kLargest));
  command
      .add_option("--presence-penalty", sampling.presence_penalty,
                  "Subtracted from a logit when the token was generated")
      ->check(CLI::Range(-kLargest, kLargest));
  command.add_option("--seed", sampling.seed, "The same seed gives the same reply (default: random)");
  command
      .add_option_function<std::vector<std::string>>(
          "--logit-bias",
          [&sampling](const std::vector<std::string>& entries) {
            for (const std::string& entry : entries) {
              sampling.logit_bias.push_back(value_or_usage_error(parse_logit_bias(entry), "--logit-bias"));
            }
          },
          "Add B to the logit of token ID; -inf forbids it (repeatable)")
      ->type_name("ID=B")
      ->expected(1)
      ->take_all();
}

void add_prompt(CLI::App& command, RunOptions& options) {
  command.add_option("HEF", options.hef_path, "A compiled model")->required()->type_name("FILE");
  command.add_option("PROMPT", options.prompt, "One message; without it stdin is read, or on a terminal a chat begins");
  command.add_option("--system", options.settings.system, "Instructions in front of the conversation");
  command.add_flag("--raw", options.raw, "The prompt goes to the model as it stands, without the chat template");
  command.add_option("--prompt-ids", options.prompt_ids, "The prompt as token ids: 1,2,3")->delimiter(',');
}

void add_limits(CLI::App& command, RunOptions& options) {
  RunSettings& settings = options.settings;
  constexpr int kMany = std::numeric_limits<int>::max();
  command
      .add_option("-n,--max-tokens", settings.max_tokens,
                  "Generate at most this many tokens; 0: only read the prompt (default: what the context holds)")
      ->check(CLI::Range(0, kMany));
  command.add_option("--stop", settings.stop, "End the reply before this text (repeatable)")->expected(1)->take_all();
  command
      .add_option("--when-full", settings.when_full,
                  "When the context is full: error, stop (the default), shift (not supported yet)")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, WhenFull>{
              {"error", WhenFull::kError}, {"stop", WhenFull::kStop}, {"shift", WhenFull::kShift}},
          CLI::ignore_case));
  command.add_option("--prefill-chunk", settings.prefill_chunk, "Prompt tokens a step; changes the speed only")
      ->check(CLI::Range(1, kMany));
  command.add_option_function<std::string>(
      "--memory",
      [&options](const std::string& text) {
        options.memory_bytes = value_or_usage_error(parse_size(text), "--memory");
      },
      "Device memory, as in 1.5GiB (default: the machine's)");
}

}  // namespace

void add_run_options(CLI::App& command, RunOptions& options) {
  add_prompt(command, options);
  add_sampling(command, options.settings.sampling);
  add_limits(command, options);
  command.add_option("--lora", options.lora, "Adapter (not supported yet)");
  command.add_option("--load-context", options.load_context, "Go on from a saved context (not supported yet)");
  command.add_option("--save-context", options.save_context, "Save the context (not supported yet)");
  command.add_flag("--verbose", options.settings.verbose, "Timings on stderr after the reply");
  command.add_flag("--hash-logits", options.settings.hash_logits,
                   "SHA-256 over the logits of every step: the same on every machine");
  add_global_options(command, options.global);
}

}  // namespace hotaru::cli
