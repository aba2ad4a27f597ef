#include "compiler/pipeline.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "base/file.h"
#include "base/log.h"
#include "compiler/passes/passes.h"

namespace hotaru {
namespace {

constexpr std::array kRtnPasses = {
    Pass{"fold-norms", Effect::kEquivalent, fold_norms},
    // From here on no weight changes basis.
    Pass{"calibrate", Effect::kNothing, calibrate},
    // From here on every matmul input has a static range.
    Pass{"quantise-rtn", Effect::kLossy, quantise_rtn},
    // No float matrix is left: the HAR is written. `hotaru compile` goes on with lower and plan-memory.
};

constexpr std::array<std::string_view, 4> kRemedies = {"search-ranges", "shift-keys", "split-key-bias", "wide-inputs"};
constexpr Pass kQuantiseGptq{"quantise-gptq", Effect::kLossy, quantise_gptq, kRemedies};

constexpr std::array kGptqPasses = {
    Pass{"fold-norms", Effect::kEquivalent, fold_norms},
    // From here on no weight changes basis.
    kQuantiseGptq,
};

constexpr std::array kFullPasses = {
    Pass{"untie-head", Effect::kEquivalent, untie_head},
    Pass{"fold-norms", Effect::kEquivalent, fold_norms},
    Pass{"fold-value-bias", Effect::kEquivalent, fold_value_bias},
    Pass{"observe", Effect::kNothing, observe},
    Pass{"scale-query-key", Effect::kEquivalent, scale_query_key},
    Pass{"scale-up-down", Effect::kEquivalent, scale_up_down},
    Pass{"permute-ffn", Effect::kEquivalent, permute_ffn},
    Pass{"rotate-values", Effect::kEquivalent, rotate_values},
    Pass{"rotate-residual", Effect::kEquivalent, rotate_residual},
    // From here on no weight changes basis.
    Pass{"choose-prefix", Effect::kLossy, choose_prefix},
    kQuantiseGptq,
};

std::string names_of(std::span<const Pass> passes) {
  std::string names;
  for (const Pass& pass : passes) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", pass.name);
    for (const std::string_view part : pass.parts) names += fmt::format(", {}", part);
  }
  return names;
}

Result<void> check_pass_name(std::span<const Pass> passes, std::string_view option, std::string_view name) {
  const bool is_known = std::ranges::any_of(passes, [name](const Pass& pass) { return pass.name == name; });
  if (is_known) return {};
  return invalid("{}: there is no pass '{}'; there are: {}", option, name, names_of(passes));
}

Result<void> check_options(std::span<const Pass> passes, const OptimiseOptions& options) {
  for (const std::string& name : options.skip) {
    const bool is_part = std::ranges::any_of(
        passes, [&name](const Pass& pass) { return std::ranges::find(pass.parts, name) != pass.parts.end(); });
    if (!is_part) TRY(check_pass_name(passes, "--skip", name));
  }
  if (!options.stop_after.empty()) TRY(check_pass_name(passes, "--stop-after", options.stop_after));
  for (const auto& dump : options.dumps) TRY(check_pass_name(passes, "--dump", dump.pass));
  const bool skips_last = std::ranges::find(options.skip, passes.back().name) != options.skip.end();
  if (skips_last && options.stop_after.empty()) {
    return invalid("--skip: a HAR needs the pass '{}'; --stop-after PASS ends earlier, without a HAR",
                   passes.back().name);
  }
  return {};
}

Result<void> write_dumps(const Pass& pass, const OptimiseOptions& options, const Graph& graph) {
  for (const auto& dump : options.dumps) {
    if (dump.pass != pass.name) continue;
    TRY_ASSIGN(OutputFile file, OutputFile::create(dump.file));
    TRY(file.write(print(graph)));
    TRY(file.commit());
  }
  return {};
}

}  // namespace

Result<std::span<const Pass>> passes_of(std::string_view recipe) {
  if (recipe == "rtn") return std::span<const Pass>(kRtnPasses);
  if (recipe == "gptq") return std::span<const Pass>(kGptqPasses);
  if (recipe == "full") return std::span<const Pass>(kFullPasses);
  return invalid("--recipe: got '{}', want full, gptq or rtn", recipe);
}

std::span<const Pass> exact_rewrites() {
  const auto first_other = std::ranges::find(kFullPasses, std::string_view("choose-prefix"), &Pass::name);
  return std::span<const Pass>(kFullPasses.begin(), first_other);
}

Result<bool> run_passes(std::span<const Pass> passes, const OptimiseOptions& options, PassContext& context) {
  TRY(check_options(passes, options));
  for (const Pass& pass : passes) {
    PassReport entry;
    entry.name = pass.name;
    entry.effect = effect_name(pass.effect);
    entry.is_skipped = std::ranges::find(options.skip, pass.name) != options.skip.end();
    if (!entry.is_skipped) {
      const auto start = std::chrono::steady_clock::now();
      context.note.clear();
      auto done = pass.run(context);
      if (!done) return at(pass.name, std::move(done).error());
      context.graph->passes.emplace_back(pass.name);
      if (auto sound = verify(*context.graph); !sound) return at(pass.name, std::move(sound).error());
      entry.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      entry.note = std::move(context.note);
      log_info(fmt::format("{}: {:.1f} s{}{}", pass.name, entry.seconds, entry.note.empty() ? "" : "; ", entry.note));
    }
    context.report->passes.push_back(std::move(entry));
    TRY(write_dumps(pass, options, *context.graph));
    if (pass.name == options.stop_after) return pass.name == passes.back().name;
  }
  return true;
}

}  // namespace hotaru
