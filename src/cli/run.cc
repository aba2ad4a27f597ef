// hotaru run FILE.hef [PROMPT]: one reply, or a chat on a terminal.
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "base/json.h"
#include "base/log.h"
#include "cli/chat.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/read_reply.h"
#include "cli/run_options.h"
#include "cli/stored_model.h"
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

Result<PromptPart> prompt_of(const RunOptions& options) {
  if (!options.prompt_ids.empty()) return PromptPart{.kind = PromptPart::Kind::kIds, .ids = options.prompt_ids};
  std::string prompt = options.prompt.value_or("");
  if (!options.prompt) {
    TRY_ASSIGN(prompt, read_stdin());
  }
  if (options.raw) return PromptPart{.kind = PromptPart::Kind::kText, .text = prompt};
  TRY_ASSIGN(std::string json, message_json("user", prompt));
  return PromptPart{.text = std::move(json)};
}

struct Answer {
  std::vector<int32_t> prompt_ids;
  GenerationOptions generation;
  std::string adapter;  // "": none
  int dropped_messages = 0;
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

Result<Conversation> open_conversation(const std::shared_ptr<Engine>& engine, const RunOptions& options) {
  const RunSettings& settings = options.settings;
  TRY_ASSIGN(const int adapter, chosen_adapter(settings, engine->model()));
  if (options.load_context.empty()) {
    TRY_ASSIGN(Conversation conversation, Conversation::create(engine, adapter));
    conversation.set_system(settings.system);
    return conversation;
  }
  TRY_ASSIGN(Conversation conversation, Conversation::load(engine, options.load_context));
  if (!settings.system.empty()) conversation.set_system(settings.system);
  if (!settings.adapter.empty()) TRY(conversation.set_adapter(adapter));
  return conversation;
}

Result<Conversation::Turn> begin_turn(Conversation& conversation, const RunOptions& options, TurnOptions turn) {
  if (options.resumes) return conversation.resume(turn);
  TRY_ASSIGN(PromptPart prompt, prompt_of(options));
  turn.continues_text = options.raw;  // a raw prompt's text goes on; a template's reply begins
  return conversation.begin({std::move(prompt)}, turn);
}

void report(const Answer& answer, const RunOptions& options, const LanguageModel& model) {
  const Reply& reply = answer.reply;
  const int capacity = model.device().info().context_tokens;
  if (!model.has_tokenizer()) log_warning("no tokenizer in this HEF: the reply's ids are shown with --json");
  if (reply.status == ReplyStatus::kContextFull) {
    log_warning(fmt::format("the reply ends because the context of {} tokens is full", capacity));
  }
  if (reply.shifts > 0) {
    log_warning(fmt::format("the context of {} tokens was full: its oldest tokens were forgotten, {} time{}", capacity,
                            reply.shifts, reply.shifts == 1 ? "" : "s"));
  }
  if (answer.dropped_messages > 0) {
    log_warning(fmt::format("the context of {} tokens is full: the oldest {} messages were forgotten", capacity,
                            answer.dropped_messages));
  }
  if (!options.global.json && options.settings.hash_logits) {
    std::fprintf(stderr, "logits_sha256 %s\n", reply.logits_sha256.c_str());
  }
  if (options.settings.verbose) std::fputs(verbose_text(reply, model.load_seconds()).c_str(), stderr);
}

Result<void> answer_once(const std::shared_ptr<Engine>& engine, const RunOptions& options) {
  const LanguageModel& model = engine->model();
  TRY_ASSIGN(const TurnOptions turn_choice, turn_options(options.settings, model));
  TRY_ASSIGN(Conversation conversation, open_conversation(engine, options));
  TRY_ASSIGN(Conversation::Turn turn, begin_turn(conversation, options, turn_choice));
  const InterruptScope interrupt;  // from here on: Ctrl-C ends a wait for stdin at once
  TextOutput output;
  Result<Reply> reply = read_reply(conversation, turn, options.global.json ? nullptr : &output);
  if (output.has_text()) output.write("\n");
  if (!reply) return std::move(reply).error();
  const std::string adapter = adapter_name(model, conversation.context_state().adapter);
  const Answer answer{std::move(turn.prompt_ids), turn_choice.generation, adapter, turn.dropped_messages,
                      *std::move(reply)};
  if (options.global.json) output.write(json_text(answer, model));
  report(answer, options, model);
  if (!options.save_context.empty()) TRY(conversation.save(options.save_context));
  TRY(output.status());
  if (InterruptScope::interrupted()) return make_error(ErrorKind::kAborted, "interrupted");
  return {};
}

Result<void> run(RunOptions& options) {
  if (options.global.quiet) set_verbosity(Verbosity::kQuiet);
  TRY_ASSIGN(const NamedModel named, find_named_model(options.hef_path));
  options.hef_path = named.hef_path;
  if (options.settings.adapter.empty()) options.settings.adapter = named.adapter;
  if (options.settings.system.empty()) options.settings.system = named.system;
  DeviceOptions device;
  TRY_ASSIGN(device.isa, parse_isa(options.global.isa));
  device.threads = options.global.threads;
  device.memory_bytes = options.memory_bytes;
  TRY_ASSIGN(LanguageModel model, LanguageModel::open(options.hef_path, device));
  EngineOptions engine_options;
  engine_options.prefill_chunk = options.settings.prefill_chunk;
  TRY_ASSIGN(std::shared_ptr<Engine> engine, Engine::create(std::move(model), engine_options));
  const bool has_prompt = options.prompt || !options.prompt_ids.empty() || options.resumes;
  if (has_prompt || isatty(STDIN_FILENO) == 0) return answer_once(engine, options);
  if (options.global.json) return invalid("--json needs a prompt, as an argument or on stdin");
  if (options.raw) return invalid("--raw needs a prompt: a chat goes through the chat template");
  TRY_ASSIGN(Chat chat, Chat::create(engine, options.settings));
  if (!options.load_context.empty()) TRY(chat.load(options.load_context));
  TRY(chat.play());
  return options.save_context.empty() ? Result<void>() : chat.save(options.save_context);
}

}  // namespace

void add_run(CLI::App& app) {
  CLI::App* command = app.add_subcommand("run", "Answer a prompt, or chat when there is none");
  command->footer(
      "Examples: hotaru run model.hef\n"
      "          hotaru run demo:captioner    (a model of `hotaru list`)\n"
      "          hotaru run model.hef \"Tell me a story.\" --seed 7\n"
      "          echo \"Tell me a story.\" | hotaru run model.hef --temperature 0 --json");
  auto options = std::make_shared<RunOptions>();
  add_run_options(*command, *options);
  set_action(*command, [options] { return run(*options); });
}

}  // namespace hotaru::cli
