// hotaru: one binary, sub-commands like git's. This file lists them; each lives in a file of its own.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/file.h"
#include "cli/command.h"
#include "cli/version.h"
#include "compiler/blas.h"

namespace {

// Ctrl-C and a polite kill: nothing half-written stays behind.
void stop_at_once(int signal) {
  hotaru::remove_unfinished_outputs();
  std::_Exit(128 + signal);
}

// "hotaru run: HEF is required", or for a command that is not there, which CLI11 only misses: those that are.
std::string usage_text(const CLI::App* app, const CLI::Error& error) {
  std::string command = app->get_name();
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    command += " " + app->get_name();
  }
  std::string message = error.what();
  std::string names;
  for (const CLI::App* below : app->get_subcommands([](const CLI::App*) { return true; })) {
    names += (names.empty() ? "" : ", ") + below->get_name();
  }
  if (!names.empty()) {
    const std::vector<std::string> unknown = app->remaining();
    message = unknown.empty()                    ? "no command given"
              : unknown.front().starts_with('-') ? "no option '" + unknown.front() + "'"
                                                 : "no command '" + unknown.front() + "'";
    message += "; there are: " + names;
  }
  return command + ": " + message + "\nSee " + command + " --help.\n";
}

int usage_error(const CLI::App& app, const CLI::ParseError& error) {
  const int code = app.exit(error);  // prints help or the message
  return code == 0 ? 0 : 2;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace hotaru;
  std::signal(SIGINT, stop_at_once);
  std::signal(SIGTERM, stop_at_once);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);  // a file size limit is then an error of write() like a full disk

  stop_blas_threads();

  CLI::App app("Hotaru: from a Hugging Face checkpoint to tokens on a small machine", "hotaru");
  app.require_subcommand(1);
  app.set_version_flag("--version", [] { return cli::version_text(); });
  app.failure_message(usage_text);
  cli::add_optimize(app);
  cli::add_compile(app);
  cli::add_lora(app);
  cli::add_inspect(app);
  cli::add_run(app);
  cli::add_eval(app);
  cli::add_bench(app);
  cli::add_models(app);
  cli::add_ps(app);
  cli::add_pull(app);
  cli::add_serve(app);
  cli::add_later(app);
  cli::add_completion(app);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return usage_error(app, error);
  }
  const auto result = cli::run_chosen(app);
  std::fflush(stdout);
  if (result) return 0;
  remove_unfinished_outputs();
  std::fprintf(stderr, "hotaru: %s\n", result.error().message.c_str());
  return result.error().kind == ErrorKind::kAborted ? 130 : 1;
}
