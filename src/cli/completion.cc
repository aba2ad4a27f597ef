// hotaru completion bash|zsh|fish: generated from the commands themselves, so it never falls behind.
#include <cstdio>

#include "cli/command.h"

namespace hotaru::cli {
namespace {

std::string option_words(const CLI::App& command) {
  std::string words;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) words += " --" + name;
    for (const std::string& name : option->get_snames()) words += " -" + name;
  }
  return words;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string bash_script(const CLI::App& app) {
  std::string names;
  std::string cases;
  for (const CLI::App* command : commands_of(app)) {
    names += " " + command->get_name();
    std::string words = option_words(*command);
    for (const CLI::App* inner : commands_of(*command)) words += " " + inner->get_name() + option_words(*inner);
    cases += "    " + command->get_name() + ") words=\"" + words + "\" ;;\n";
  }
  return "_hotaru() {\n  local word=${COMP_WORDS[COMP_CWORD]} words=\n"
         "  if [ \"$COMP_CWORD\" -eq 1 ]; then words=\"--help --version" +
         names + "\"; else case ${COMP_WORDS[1]} in\n" + cases +
         "  esac; fi\n"
         "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n}\n"
         "complete -o default -F _hotaru hotaru\n";
}

std::string fish_script(const CLI::App& app) {
  std::string text =
      "complete -c hotaru -n __fish_use_subcommand -l help\ncomplete -c hotaru -n __fish_use_subcommand -l version\n";
  for (const CLI::App* command : commands_of(app)) {
    text += "complete -c hotaru -n __fish_use_subcommand -a " + command->get_name() + "\n";
    for (const CLI::Option* option : command->get_options()) {
      for (const std::string& name : option->get_lnames()) {
        text += "complete -c hotaru -n '__fish_seen_subcommand_from " + command->get_name() + "' -l " + name + "\n";
      }
    }
  }
  return text;
}

}  // namespace

void add_completion(CLI::App& app) {
  CLI::App* command = app.add_subcommand("completion", "Print a shell completion script");
  command->footer("Example: source <(hotaru completion bash)");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  set_action(*command, [&app, shell]() -> Result<void> {
    std::string script = *shell == "fish" ? fish_script(app) : bash_script(app);
    if (*shell == "zsh") script = "autoload -U +X bashcompinit && bashcompinit\n" + script;
    std::fputs(script.c_str(), stdout);
    return {};
  });
}

}  // namespace hotaru::cli
