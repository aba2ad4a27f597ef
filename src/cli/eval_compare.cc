// hotaru eval compare FLOAT HEF --text FILE
#include <algorithm>
#include <cstdio>

#include "base/log.h"
#include "cli/eval_options.h"
#include "eval/comparison.h"

namespace hotaru::cli {
namespace {

struct CompareOptions {
  GlobalOptions global;
  TextOptions text;
  std::string reference;
  std::string other;
  std::string lora;
};

Result<void> run_compare(const CompareOptions& options) {
  if (options.global.quiet) set_verbosity(Verbosity::kQuiet);
  TRY_ASSIGN(const LogitModel reference, open_logit_model(options.reference, options.lora, options.global));
  TRY_ASSIGN(const LogitModel other, open_logit_model(options.other, options.lora, options.global));
  const int64_t max_tokens = std::min(reference.max_tokens, other.max_tokens);
  TRY_ASSIGN(const TokenisedText text, tokenise(options.text, reference, max_tokens));
  TRY_ASSIGN(const Segments segments, Segments::cut(text.ids, text.segments));
  Progress progress("compare", static_cast<uint64_t>(segments.count()), "segments");
  TRY_ASSIGN(const ComparisonReport report,
             compare_models(reference.source, other.source, segments, [&progress] { progress.advance(); }));
  progress.finish();
  const double rise = report.perplexity / report.reference_perplexity - 1;
  if (options.global.json) {
    print_json({{"reference_perplexity", report.reference_perplexity},
                {"perplexity", report.perplexity},
                {"perplexity_rise", rise},
                {"mean_kl", report.mean_kl},
                {"kl_p99", report.kl_p99},
                {"top1_agreement", report.top1_agreement},
                {"logit_sqnr_db", report.logit_sqnr_db},
                {"tokens_scored", report.tokens_scored},
                {"segments", segments.count()},
                {"segment_tokens", segments.tokens()},
                {"bos", text.segments.bos_id ? Json(*text.segments.bos_id) : Json()},
                {"reference", reference.name},
                {"reference_kind", reference.kind},
                {"model", other.name},
                {"kind", other.kind},
                {"adapter", adapter_json(other)}});
    return {};
  }
  std::printf("perplexity     %10.4f  %s (%s)\n", report.reference_perplexity, reference.name.c_str(),
              reference.kind.c_str());
  std::printf("perplexity     %10.4f  %s (%s), %+.2f %%\n", report.perplexity, other.name.c_str(), other.kind.c_str(),
              100 * rise);
  std::printf("kl             %10.6f  mean, %.6f 99th percentile\n", report.mean_kl, report.kl_p99);
  std::printf("top-1          %10.4f  agreement\n", report.top1_agreement);
  std::printf("logit sqnr     %10.2f  dB\n", report.logit_sqnr_db);
  return {};
}

}  // namespace

void add_eval_compare(CLI::App& eval) {
  CLI::App* command = eval.add_subcommand("compare", "A HEF beside its float checkpoint on the same text");
  command->footer("Example: hotaru eval compare models/demo demo.hef --text wiki.test.raw --limit-segments 20");
  auto options = std::make_shared<CompareOptions>();
  command->add_option("FLOAT", options->reference, "Checkpoint directory: the reference")->required();
  command->add_option("HEF", options->other, "What is compared with it")->required();
  add_text_options(*command, options->text);
  add_lora_option(*command, options->lora);
  add_global_options(*command, options->global);
  set_action(*command, [options] { return run_compare(*options); });
}

}  // namespace hotaru::cli
