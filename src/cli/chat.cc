#include "cli/chat.h"

#include <cstdio>
#include <utility>

#include "base/log.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "cli/read_reply.h"
#include "cli/text_output.h"

namespace hotaru::cli {
namespace {

constexpr std::string_view kQuotes = "\"\"\"";

constexpr std::string_view kHelp =
    "  /bye                        leave (Ctrl-D does too)\n"
    "  /clear                      forget the conversation\n"
    "  /resume                     go on with the reply that was stopped\n"
    "  /save FILE, /load FILE      keep the conversation, go on from there another time\n"
    "  /lora NAME                  go on with an adapter; /lora alone: without\n"
    "  /set parameter NAME VALUE   e.g. /set parameter temperature 0.5\n"
    "  /set system TEXT            instructions for the replies to come\n"
    "  /show                       the model, its context and the parameters\n"
    "  /help                       this\n"
    "  \"\"\"                         begins and ends a message of several lines\n"
    "  Ctrl-C                      stops a reply; the conversation goes on\n";

void say(std::string_view text) {
  std::fflush(stdout);
  std::fwrite(text.data(), 1, text.size(), stderr);
}

void complain(const Error& error) {
  const bool colour = stderr_has_color();
  say(fmt::format("{}{}{}\n", colour ? "\033[31m" : "", error.message, colour ? "\033[0m" : ""));
}

// "a  b c" -> {"a", "b c"}.
std::pair<std::string, std::string> first_word(const std::string& text) {
  const size_t begin = std::min(text.find_first_not_of(" \t"), text.size());
  const size_t end = std::min(text.find_first_of(" \t", begin), text.size());
  const size_t rest = std::min(text.find_first_not_of(" \t", end), text.size());
  const size_t rest_end = text.find_last_not_of(" \t") + 1;
  return {text.substr(begin, end - begin), rest < rest_end ? text.substr(rest, rest_end - rest) : ""};
}

// Lines up to the closing quotes join the message. False: dropped by Ctrl-C or Ctrl-D.
bool read_message(LineEditor& editor, LineEditor::Input& input) {
  input = editor.read(">>> ");
  if (input.event != LineEditor::Event::kLine || !input.text.starts_with(kQuotes)) return true;
  std::string message = input.text.substr(kQuotes.size());
  while (!message.ends_with(kQuotes)) {
    input = editor.read("... ");
    if (input.event != LineEditor::Event::kLine) return false;
    message += "\n" + input.text;
  }
  message.resize(message.size() - kQuotes.size());
  input.text = message;
  return true;
}

}  // namespace

Result<Chat> Chat::create(std::shared_ptr<Engine> engine, const RunSettings& settings) {
  TRY_ASSIGN(const int adapter, chosen_adapter(settings, engine->model()));
  TRY_ASSIGN(Conversation conversation, Conversation::create(engine, adapter));
  conversation.set_system(settings.system);
  return Chat(std::move(engine), settings, std::move(conversation));
}

Result<void> Chat::load(const std::string& path) {
  TRY_ASSIGN(conversation_, Conversation::load(engine_, path));
  const ContextState state = conversation_.context_state();
  settings_.system = conversation_.system();
  settings_.adapter = adapter_name(model(), state.adapter);
  say(fmt::format("{}: {} tokens, {} messages{}\n", path, state.ids.size(), conversation_.messages().size(),
                  conversation_.can_resume() ? "; the last reply was stopped, /resume goes on with it" : ""));
  return {};
}

Result<void> Chat::play() {
  TRY_ASSIGN(LineEditor editor, LineEditor::open(history_path()));
  say(fmt::format("{}: {} tokens of context. /help lists the commands, /bye leaves.\n", model().name(),
                  model().device().info().context_tokens));
  while (true) {
    const InterruptScope between_replies;  // a Ctrl-C that comes too late for a reply does not end the chat
    LineEditor::Input input;
    if (!read_message(editor, input)) {
      say("\n");
      continue;
    }
    if (input.event == LineEditor::Event::kEnd) {
      say("\n");
      return {};
    }
    if (input.event == LineEditor::Event::kInterrupt) {
      say("(Ctrl-D or /bye leaves)\n");
      continue;
    }
    if (take(input.text) == Next::kLeave) return output_.status();
  }
}

Chat::Next Chat::take(const std::string& message) {
  if (message.find_first_not_of(" \t\n") == std::string::npos) return Next::kGoOn;
  if (message.starts_with('/')) return command(message);
  reply_to(message);
  return output_.is_open() ? Next::kGoOn : Next::kLeave;
}

void Chat::reply_to(const std::string& message) {
  const InterruptScope interrupt;
  const auto begin = [&]() -> Result<Conversation::Turn> {
    TRY_ASSIGN(const TurnOptions options, turn_options(settings_, model()));
    TRY_ASSIGN(std::string json, message_json("user", message));
    return conversation_.begin({{.text = std::move(json)}}, options);
  };
  show_reply(read(begin()));
}

void Chat::resume() {
  const InterruptScope interrupt;
  const auto begin = [&]() -> Result<Conversation::Turn> {
    TRY_ASSIGN(const TurnOptions options, turn_options(settings_, model()));
    return conversation_.resume(options);
  };
  show_reply(read(begin()));
}

Result<Reply> Chat::read(Result<Conversation::Turn> turn) {
  if (!turn) return std::move(turn).error();
  if (turn->dropped_messages > 0) {
    say(fmt::format("(the context is full: the oldest {} messages are forgotten)\n", turn->dropped_messages));
  }
  Result<Reply> reply = read_reply(conversation_, *turn, &output_);
  output_.write("\n\n");
  return reply;
}

void Chat::show_reply(const Result<Reply>& reply) {
  const bool is_full = reply ? reply->status == ReplyStatus::kContextFull : reply.error().kind == ErrorKind::kNoMemory;
  if (!reply) complain(reply.error());
  if (is_full) {
    say(fmt::format("(the context of {} tokens is full: /clear begins a new conversation)\n",
                    model().device().info().context_tokens));
  }
  if (!reply) return;
  if (settings_.verbose) say(verbose_text(*reply, std::exchange(unreported_load_seconds_, 0.0)));
}

Chat::Next Chat::command(const std::string& line) {
  const auto [name, arguments] = first_word(line);
  if (name == "/bye" || name == "/exit" || name == "/quit") return Next::kLeave;
  if (name == "/help" || name == "/?") {
    say(kHelp);
  } else if (name == "/clear") {
    clear();
  } else if (name == "/set") {
    set(arguments);
  } else if (name == "/show") {
    show();
  } else if (name == "/lora") {
    choose_adapter(arguments);
  } else if (name == "/resume") {
    resume();
    return output_.is_open() ? Next::kGoOn : Next::kLeave;
  } else if ((name == "/save" || name == "/load") && arguments.empty()) {
    complain(invalid("want {} FILE", name));
  } else if (name == "/save") {
    if (const Result<void> saved = save(arguments); !saved) complain(saved.error());
  } else if (name == "/load") {
    if (const Result<void> loaded = load(arguments); !loaded) complain(loaded.error());
  } else {
    complain(invalid("no command '{}'; /help lists them", name));
  }
  return Next::kGoOn;
}

void Chat::choose_adapter(const std::string& name) {
  RunSettings wanted = settings_;
  wanted.adapter = name;
  const Result<int> adapter = chosen_adapter(wanted, model());
  if (!adapter) return complain(adapter.error());
  if (const Result<void> done = conversation_.set_adapter(*adapter); !done) return complain(done.error());
  settings_.adapter = name;
}

Result<void> Chat::save(const std::string& path) const {
  TRY(conversation_.save(path));
  say(fmt::format("{}: {} tokens; /load {} goes on from here\n", path, conversation_.context_state().ids.size(), path));
  return {};
}

void Chat::clear() {
  if (const Result<void> cleared = conversation_.clear(); !cleared) return complain(cleared.error());
  say("The conversation begins anew.\n");
}

void Chat::set(const std::string& arguments) {
  const auto [what, rest] = first_word(arguments);
  if (what == "system") {
    settings_.system = rest;
    conversation_.set_system(rest);
    return;
  }
  const auto [name, value] = first_word(rest);
  if (what != "parameter" || name.empty() || value.empty()) {
    return complain(invalid("want /set parameter NAME VALUE or /set system TEXT"));
  }
  if (const Result<void> done = set_parameter(settings_, name, value); !done) complain(done.error());
}

void Chat::show() const {
  const DeviceInfo& info = model().device().info();
  say(fmt::format("  {:<19} {}\n", "model", model().name()));
  say(fmt::format("  {:<19} {} of {} tokens\n", "context", conversation_.context_state().ids.size(),
                  info.context_tokens));
  say(fmt::format("  {:<19} {}, {} thread{}\n", "device", isa_name(info.isa), info.threads,
                  info.threads == 1 ? "" : "s"));
  if (!settings_.adapter.empty()) say(fmt::format("  {:<19} {}\n", "adapter", settings_.adapter));
  if (!conversation_.system().empty()) say(fmt::format("  {:<19} {}\n", "system", conversation_.system()));
  say(parameters_text(settings_, model()));
}

}  // namespace hotaru::cli
