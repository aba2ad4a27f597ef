// hotaru bench FILE.hef | --shape CONFIG.json: speed and memory, medians, with the machine's read bandwidth beside
// them.
#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/size_text.h"
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
  int context_tokens = 2048;
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

// The synthetic HEF of a shape, made once per config, context and version.
Result<std::string> synthetic_hef(const BenchCommand& command) {
  TRY_ASSIGN(const std::string config, read_text_file(command.shape_path));
  const std::string key = fmt::format("{}\n{}\n{}", config, command.context_tokens, producer_text());
  const std::string hash = sha256_hex(std::as_bytes(std::span(key))).substr(0, 16);
  const std::filesystem::path folder = cache_directory();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return make_error(ErrorKind::kIo, "{}: cannot be created: {}", folder.string(), error.message());
  const std::string path = (folder / fmt::format("synthetic-{}.hef", hash)).string();
  if (std::filesystem::exists(path)) return path;
  log_info(fmt::format("making a HEF of random weights for {} (kept as {})", command.shape_path, path));
  SyntheticOptions options;
  options.context_tokens = command.context_tokens;
  options.producer = producer_text();
  TRY(write_synthetic_hef(command.shape_path, options, path));
  return path;
}

Json keyed(const std::map<int, double>& values) {
  Json object = Json::object();
  for (const auto& [key, value] : values) object[std::to_string(key)] = value;
  return object;
}

void print_text(const BenchReport& report, const DeviceInfo& info, const Json& json) {
  std::printf("%s, %d threads, load %.1f ms, peak resident %s, device memory %s (weights %s)\n",
              std::string(isa_name(info.isa)).c_str(), info.threads, json["load_ms"].get<double>(),
              size_text(json["peak_rss_bytes"].get<uint64_t>()).c_str(), size_text(info.total_bytes).c_str(),
              size_text(info.weight_bytes).c_str());
  for (const auto& [tokens, ms] : report.ttft_ms) {
    std::printf("first token after %5d tokens  %10.1f ms  %8.1f tokens/s\n", tokens, ms, tokens * 1e3 / ms);
  }
  const auto bandwidth = json["memory_bandwidth_bytes_per_second"].get<double>();
  for (const auto& [depth, ms] : report.decode_ms) {
    const double share = static_cast<double>(info.weight_bytes) / (ms / 1e3) / bandwidth;
    std::printf("decode at depth %5d          %10.2f ms  %8.1f tokens/s  %3.0f %% of %.1f GB/s read by weights\n",
                depth, ms, 1e3 / ms, share * 100, bandwidth / 1e9);
  }
  for (const auto& [count, rate] : report.aggregate_tokens_per_second) {
    std::printf("%2d contexts together                        %8.1f tokens/s\n", count, rate);
  }
}

Result<void> bench(const BenchCommand& command) {
  if (command.hef_path.empty() == command.shape_path.empty()) {
    return invalid("bench: want either a HEF file or --shape CONFIG.json");
  }
  if (command.global.quiet) set_verbosity(Verbosity::kQuiet);
  DeviceOptions options;
  TRY_ASSIGN(options.isa, parse_isa(command.global.isa));
  options.threads = command.global.threads;
  std::string path = command.hef_path;
  if (path.empty()) {
    TRY_ASSIGN(path, synthetic_hef(command));
  }
  const auto start = std::chrono::steady_clock::now();
  TRY_ASSIGN(std::unique_ptr<Device> device, Device::open(path, options));
  const double load_ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();

  const size_t measurements =
      command.bench.prompts.size() + command.bench.depths.size() + command.bench.contexts.size();
  Progress progress("bench", measurements * static_cast<uint64_t>(command.bench.repeat), "measurements");
  TRY_ASSIGN(const BenchReport report, run_bench(*device, command.bench, [&](int, int) { progress.advance(); }));
  progress.finish();

  const DeviceInfo info = device->info();
  const uint64_t peak_rss = peak_rss_bytes();
  device.reset();  // the file is never mapped twice
  TRY_ASSIGN(const HefFile hef, HefFile::open(path, {.pool = nullptr, .verify_checksums = false}));
  Json json;
  json["ttft_ms"] = keyed(report.ttft_ms);
  json["decode_ms"] = keyed(report.decode_ms);
  json["aggregate_tokens_per_second"] = keyed(report.aggregate_tokens_per_second);
  json["load_ms"] = load_ms;
  json["peak_rss_bytes"] = peak_rss;
  json["device_bytes"] = info.total_bytes;
  json["weight_bytes"] = info.weight_bytes;
  json["memory_bandwidth_bytes_per_second"] = read_bandwidth(hef.container().bytes(), info.threads, 5);
  json["isa"] = isa_name(info.isa);
  json["threads"] = info.threads;
  if (command.global.json) {
    std::printf("%s\n", json.dump().c_str());
  } else {
    print_text(report, info, json);
  }
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
  command->add_option("--repeat", options->bench.repeat, "Repetitions of each measurement")->check(CLI::Range(1, 1000));
  add_global_options(*command, options->global);
  set_action(*command, [options] { return bench(*options); });
}

}  // namespace hotaru::cli
