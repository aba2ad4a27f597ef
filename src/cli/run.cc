// hotaru run FILE.hef [PROMPT]: one reply, or a chat on a terminal.
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "base/json.h"
#include "base/log.h"
#include "cli/chat.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/run_options.h"
#include "cli/text_output.h"

namespace hotaru::cli {
namespace {

constexpr size_t kLongestPromptBytes = size_t{64} << 20;

Result<std::string> read_stdin() {
  std::string text;
  char buffer[1 << 16];
  while (const size_t count = std::fread(buffer, 1, sizeof buffer, stdin)) {
    text.append(buffer, count);
    if (text.size() > kLongestPromptBytes) return invalid("stdin: want a prompt of at most 64 MiB");
  }
  if (std::ferror(stdin) != 0) return make_error(ErrorKind::kIo, "stdin: cannot be read");
  // The newline that `echo` adds is not part of the message.
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  if (text.empty()) return invalid("no prompt: give one as an argument or on stdin");
  return text;
}

Result<std::vector<int32_t>> encode_prompt(const LanguageModel& model, const RunOptions& options) {
  if (!options.prompt_ids.empty()) {
    TRY(model.check_ids(options.prompt_ids));
    return options.prompt_ids;
  }
  std::string prompt = options.prompt.value_or("");
  if (!options.prompt) {
    TRY_ASSIGN(prompt, read_stdin());
  }
  if (options.raw) return model.encode_text(prompt);
  std::vector<Message> messages;
  if (!options.settings.system.empty()) messages.push_back({"system", options.settings.system});
  messages.push_back({"user", prompt});
  return model.encode_chat(messages);
}

struct Answer {
  std::vector<int32_t> prompt_ids;
  GenerationOptions generation;
  std::string adapter;  // "": none
  Reply reply;
};

std::string json_text(const Answer& answer, const LanguageModel& model) {
  const Reply& reply = answer.reply;
  const DeviceInfo& info = model.device().info();
  const auto three_digits = [](double value) { return std::round(value * 1e3) / 1e3; };
  const auto rate = [&](double tokens, double seconds) { return seconds > 0.0 ? three_digits(tokens / seconds) : 0.0; };
  const auto generated = static_cast<double>(reply.token_ids.size());
  Json json = {{"text", reply.text},
               {"prompt_token_ids", answer.prompt_ids},
               {"token_ids", reply.token_ids},
               {"status", reply_status_name(reply.status)},
               {"prompt_tokens", answer.prompt_ids.size()},
               {"generated_tokens", reply.token_ids.size()},
               {"adapter", answer.adapter.empty() ? Json() : Json(answer.adapter)},
               {"seed", answer.generation.sampling.seed},
               {"isa", isa_name(info.isa)},
               {"threads", info.threads}};
  if (answer.generation.hash_logits) json["logits_sha256"] = reply.logits_sha256;
  json["timing"] = {{"load_ms", three_digits(model.load_seconds() * 1e3)},
                    {"ttft_ms", three_digits(reply.timing.first_token_seconds * 1e3)},
                    {"prefill_tokens_per_second", rate(reply.prefilled_tokens, reply.timing.prefill_seconds)},
                    {"decode_tokens_per_second", rate(std::max(0.0, generated - 1.0), reply.timing.decode_seconds)}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<void> answer_once(const LanguageModel& model, const RunOptions& options) {
  const InterruptScope interrupt;
  const RunSettings& settings = options.settings;
  TRY_ASSIGN(const std::vector<int32_t> prompt_ids, encode_prompt(model, options));
  TRY_ASSIGN(const GenerationOptions generation, generation_options(settings, model));
  // A raw prompt's text goes on; a template's reply begins.
  TRY_ASSIGN(std::optional<ReplyText> text, model.reply_text(settings.stop, options.raw));
  TRY_ASSIGN(const int adapter, chosen_adapter(settings, model));
  TRY_ASSIGN(Context context, Context::create(model.device(), adapter));
  context.append(model.after_prefix(prompt_ids));
  TextOutput output;
  const bool streams = !options.global.json;
  const auto on_text = [&](std::string_view piece) { return !streams || output.write(piece); };
  Result<Reply> reply = generate(context, generation, text ? &*text : nullptr, on_text);
  if (output.has_text()) output.write("\n");
  if (!reply) return std::move(reply).error();
  const Answer answer{prompt_ids, generation, settings.adapter, *std::move(reply)};
  if (!streams) output.write(json_text(answer, model));
  if (!model.has_tokenizer()) log_warning("no tokenizer in this HEF: the reply's ids are shown with --json");
  if (answer.reply.status == ReplyStatus::kContextFull) {
    log_warning(fmt::format("the reply ends because the context of {} tokens is full", context.capacity_tokens()));
  }
  if (streams && settings.hash_logits) std::fprintf(stderr, "logits_sha256 %s\n", answer.reply.logits_sha256.c_str());
  if (settings.verbose) std::fputs(verbose_text(answer.reply, model.load_seconds()).c_str(), stderr);
  TRY(output.status());
  if (InterruptScope::interrupted()) return make_error(ErrorKind::kAborted, "interrupted");
  return {};
}

Result<void> check_supported(const RunOptions& options) {
  const auto check = [](const char* flag, const std::string& value) -> Result<void> {
    if (value.empty()) return {};
    return not_supported("{} is not supported yet", flag);
  };
  TRY(check("--load-context", options.load_context));
  TRY(check("--save-context", options.save_context));
  if (options.settings.when_full == WhenFull::kShift) return not_supported("--when-full shift is not supported yet");
  return {};
}

Result<void> run(const RunOptions& options) {
  TRY(check_supported(options));
  if (options.global.quiet) set_verbosity(Verbosity::kQuiet);
  DeviceOptions device;
  TRY_ASSIGN(device.isa, parse_isa(options.global.isa));
  device.threads = options.global.threads;
  device.memory_bytes = options.memory_bytes;
  TRY_ASSIGN(const LanguageModel model, LanguageModel::open(options.hef_path, device));
  const bool has_prompt = options.prompt || !options.prompt_ids.empty();
  if (has_prompt || isatty(STDIN_FILENO) == 0) return answer_once(model, options);
  if (options.global.json) return invalid("--json needs a prompt, as an argument or on stdin");
  if (options.raw) return invalid("--raw needs a prompt: a chat goes through the chat template");
  TRY_ASSIGN(Chat chat, Chat::create(model, options.settings));
  return chat.play();
}

}  // namespace

void add_run(CLI::App& app) {
  CLI::App* command = app.add_subcommand("run", "Answer a prompt, or chat when there is none");
  command->footer(
      "Examples: hotaru run model.hef\n"
      "          hotaru run model.hef \"Tell me a story.\" --seed 7\n"
      "          echo \"Tell me a story.\" | hotaru run model.hef --temperature 0 --json");
  auto options = std::make_shared<RunOptions>();
  add_run_options(*command, *options);
  set_action(*command, [options] { return run(*options); });
}

}  // namespace hotaru::cli
