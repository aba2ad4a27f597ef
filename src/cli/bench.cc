// hotaru bench FILE.hef | --shape CONFIG.json: speed and memory, medians, with the machine's limits beside them.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "cli/bench_contexts.h"
#include "cli/bench_page.h"
#include "cli/bench_report.h"
#include "cli/command.h"
#include "cli/version.h"
#include "compiler/synthetic.h"
#include "device/device.h"
#include "eval/bench.h"
#include "format/hef.h"

namespace hotaru::cli {
namespace {

struct BenchCommand {
  GlobalOptions global;
  BenchOptions bench;
  std::string hef_path;
  std::string shape_path;
  std::string html_path;
  int context_tokens = 2048;
  int context_costs = 0;  // tokens; 0: not asked for
  bool profile = false;
};

uint64_t peak_rss_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

std::filesystem::path cache_directory() {
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg != '\0')
    return std::filesystem::path(xdg) / "hotaru";
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home != nullptr ? home : "/tmp") / ".cache" / "hotaru";
}

// Empty where there is no HEF.
std::string producer_of(const std::string& hef_path) {
  const auto hef = HefFile::open(hef_path, {.pool = nullptr, .verify_checksums = false});
  const fb::ModelIdentity* identity = hef ? hef->meta().identity() : nullptr;
  return identity != nullptr && identity->producer() != nullptr ? identity->producer()->str() : "";
}

// The synthetic HEF of a shape and context, made anew when a different hotaru made the one that is there.
Result<std::string> synthetic_hef(const BenchCommand& command) {
  TRY_ASSIGN(const std::string config, read_text_file(command.shape_path));
  const std::string key = fmt::format("{}\n{}", config, command.context_tokens);
  const std::string hash = sha256_hex(std::as_bytes(std::span(key))).substr(0, 16);
  const std::filesystem::path folder = cache_directory();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return make_error(ErrorKind::kIo, "{}: cannot be created: {}", folder.string(), error.message());
  const std::string path = (folder / fmt::format("synthetic-{}.hef", hash)).string();
  SyntheticOptions options;
  options.context_tokens = command.context_tokens;
  options.producer = fmt::format("{} (commit {})", producer_text(), commit_text());
  if (producer_of(path) == options.producer) return path;
  log_info(fmt::format("making a HEF of random weights for {} (kept as {})", command.shape_path, path));
  TRY(write_synthetic_hef(command.shape_path, options, path));
  return path;
}

Result<void> bench(const BenchCommand& command) {
  if (command.hef_path.empty() == command.shape_path.empty()) {
    return invalid("bench: want either a HEF file or --shape CONFIG.json");
  }
  if (command.global.quiet) set_verbosity(Verbosity::kQuiet);
  DeviceOptions options;
  TRY_ASSIGN(options.isa, parse_isa(command.global.isa));
  options.threads = command.global.threads;
  std::optional<OutputFile> page;  // a place that cannot be written is known before minutes of measuring
  if (!command.html_path.empty()) {
    TRY_ASSIGN(page, OutputFile::create(command.html_path));
  }
  std::string path = command.hef_path;
  if (path.empty()) {
    TRY_ASSIGN(path, synthetic_hef(command));
  }
  if (command.context_costs > 0) return bench_contexts({path, command.context_costs, command.global.json}, options);
  // What is measured is a warm load: the file may be new, or its memory have gone back to a host of virtual machines.
  TRY(HefFile::open(path, {.pool = nullptr, .verify_checksums = true}));
  const auto start = std::chrono::steady_clock::now();
  TRY_ASSIGN(std::unique_ptr<Device> device, Device::open(path, options));
  const double load_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();

  const size_t measurements =
      command.bench.prompts.size() + command.bench.depths.size() + command.bench.contexts.size();
  Progress progress("bench", measurements * static_cast<uint64_t>(command.bench.repeat), "measurements");
  TRY_ASSIGN(const BenchReport report, run_bench(*device, command.bench, [&](int, int) { progress.advance(); }));
  progress.finish();

  const BenchResult result{path, report, device->info(), load_ms, peak_rss_bytes()};
  if (page) {
    TRY(page->write(bench_page(result)));
    TRY(page->commit());
  }
  const std::string text =
      command.global.json ? bench_json(result, command.profile).dump() + "\n" : bench_text(result, command.profile);
  std::fputs(text.c_str(), stdout);
  return {};
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App* command = app.add_subcommand("bench", "Measure time to first token, tokens per second, memory and load");
  command->footer("Example: hotaru bench model.hef --prompt 96,512 --depth 0 --json");
  auto options = std::make_shared<BenchCommand>();
  command->add_option("HEF", options->hef_path, "The model");
  command->add_option("--shape", options->shape_path, "config.json: measure random weights of this shape instead");
  command->add_option("--context", options->context_tokens, "Context of the random-weights model, tokens")
      ->check(CLI::Range(64, 32768));
  command->add_option("--prompt", options->bench.prompts, "Prompt lengths, tokens")
      ->delimiter(',')
      ->check(CLI::Range(1, 32768));
  command->add_option("--depth", options->bench.depths, "Tokens of context before decoding")
      ->delimiter(',')
      ->check(CLI::Range(0, 32768));
  command->add_option("--contexts", options->bench.contexts, "Contexts decoding together")
      ->delimiter(',')
      ->check(CLI::Range(1, 64));
  command
      ->add_option("--context-costs", options->context_costs,
                   "Instead: save, restore, fork and reuse a context of so many tokens, and decode beside its prefill")
      ->check(CLI::Range(32, 32768));
  command->add_option("--repeat", options->bench.repeat, "Repetitions of each measurement")->check(CLI::Range(1, 1000));
  command->add_flag("--profile", options->profile, "Say where the time goes, call by call");
  command->add_option("--html", options->html_path, "Write a page with the roofline, bars and all tables");
  add_global_options(*command, options->global);
  set_action(*command, [options] { return bench(*options); });
}

}  // namespace hotaru::cli
