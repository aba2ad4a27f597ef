// hotaru optimize CHECKPOINT: import, rewrite, calibrate, quantise; leaves a HAR.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/json.h"
#include "base/log.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/version.h"
#include "compiler/pipeline.h"

namespace hotaru::cli {
namespace {

struct OptimizeCommand {
  GlobalOptions global;
  OptimiseOptions options;
  std::string checkpoint;
  std::string output;
  std::vector<std::string> dumps;
};

// "models/demo/" -> "demo.har", in the current folder.
std::string default_output(const std::string& checkpoint) {
  std::filesystem::path path = std::filesystem::absolute(checkpoint).lexically_normal();
  if (path.filename().empty()) path = path.parent_path();
  return path.filename().string() + ".har";
}

Result<void> read_dumps(OptimizeCommand& command) {
  for (const std::string& dump : command.dumps) {
    const size_t colon = dump.find(':');
    if (colon == std::string::npos || colon == 0 || colon + 1 == dump.size()) {
      return invalid("--dump: got '{}', want PASS:FILE", dump);
    }
    command.options.dumps.push_back({dump.substr(0, colon), dump.substr(colon + 1)});
  }
  return {};
}

double lowest_sqnr(const OptimiseReport& report) {
  double lowest = INFINITY;
  for (const MatrixReport& matrix : report.matrices) {
    if (matrix.sqnr_db > 0) lowest = std::min(lowest, matrix.sqnr_db);
  }
  return lowest;
}

void print_result(const OptimizeCommand& command, const OptimiseResult& result) {
  const uint64_t bytes = result.wrote_har ? std::filesystem::file_size(command.output) : 0;
  if (command.global.json) {
    Json json = to_json(result.report, true);
    json["output"] = result.wrote_har ? Json(command.output) : Json(nullptr);
    json["bytes"] = bytes;
    std::printf("%s\n", json.dump().c_str());
    return;
  }
  if (!result.wrote_har) {
    std::printf("stopped after %s; no HAR written\n", command.options.stop_after.c_str());
    return;
  }
  std::printf("%s: %s, %zu matrices, lowest SQNR %.1f dB\n", command.output.c_str(), size_text(bytes).c_str(),
              result.report.matrices.size(), lowest_sqnr(result.report));
  std::printf("calibrated on %s\n", result.report.calibration.c_str());
}

Result<void> optimize(OptimizeCommand& command) {
  if (command.global.quiet) set_verbosity(Verbosity::kQuiet);
  TRY(read_dumps(command));
  if (command.output.empty()) command.output = default_output(command.checkpoint);
  command.options.producer = producer_text();
  ThreadPool pool(command.global.threads);
  TRY_ASSIGN(const OptimiseResult result, optimise(command.checkpoint, command.output, command.options, pool));
  print_result(command, result);
  return {};
}

}  // namespace

void add_optimize(CLI::App& app) {
  auto command = std::make_shared<OptimizeCommand>();
  CLI::App* sub = app.add_subcommand("optimize", "Import, rewrite, calibrate and quantise a checkpoint into a HAR");
  sub->footer("Example: hotaru optimize models/demo -o demo.har --report demo.html");
  OptimiseOptions& options = command->options;
  options.recipe = "full";
  CalibrationOptions& calibration = options.calibration;
  sub->add_option("CHECKPOINT", command->checkpoint, "Hugging Face checkpoint directory")->required();
  sub->add_option("-o,--output", command->output, "The HAR (default: NAME.har in this folder)");
  sub->add_option("--calibration", calibration.files,
                  "Text to measure ranges on: .txt, or .jsonl with \"text\" or \"messages\" (repeatable; default: a "
                  "small text inside hotaru)");
  sub->add_option("--samples", calibration.samples, "Segments of calibration text, at most")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  sub->add_option("--sequence", calibration.sequence, "Tokens of a segment (at most the model's positions)")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 20));
  sub->add_option("--recipe", options.recipe, "full: all rewrites and GPTQ; gptq: no rotation; rtn: rounding only")
      ->capture_default_str()
      ->check(CLI::IsMember({"full", "gptq", "rtn"}));
  sub->add_option("--group", options.group, "Inputs that share a weight multiplier")
      ->capture_default_str()
      ->check(CLI::IsMember({32, 64, 128}));
  sub->add_option("--seed", calibration.seed, "For whatever is random")->capture_default_str();
  sub->add_option("--skip", options.skip, "Leave out a pass, or a part such as wide-inputs (repeatable)");
  sub->add_option("--stop-after", options.stop_after, "End after this pass");
  sub->add_option("--dump", command->dumps, "PASS:FILE: the graph's text after a pass (repeatable)");
  sub->add_option("--report", options.report_files,
                  "FILE.json, FILE.txt or FILE.html (a page with plots): per layer errors, ranges, what was chosen and "
                  "why, times (repeatable)");
  sub->add_flag("--resume", options.resume, "Go on behind the last layer that a killed run finished (OUTPUT.resume)");
  add_global_options(*sub, command->global);
  set_action(*sub, [command] { return optimize(*command); });
}

}  // namespace hotaru::cli
