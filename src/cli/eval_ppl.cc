// hotaru eval ppl MODEL --text FILE
#include <cstdio>

#include "base/log.h"
#include "cli/eval_options.h"
#include "eval/perplexity.h"

namespace hotaru::cli {
namespace {

struct PplOptions {
  GlobalOptions global;
  TextOptions text;
  std::string model;
  std::string lora;
};

Result<void> run_ppl(const PplOptions& options) {
  if (options.global.quiet) set_verbosity(Verbosity::kQuiet);
  TRY_ASSIGN(const LogitModel model, open_logit_model(options.model, options.lora, options.global));
  TRY_ASSIGN(const TokenisedText text, tokenise(options.text, model, model.max_tokens));
  TRY_ASSIGN(const Segments segments, Segments::cut(text.ids, text.segments));
  Progress progress("perplexity", static_cast<uint64_t>(segments.count()), "segments");
  TRY_ASSIGN(const PerplexityReport report,
             measure_perplexity(model.source, segments, [&progress] { progress.advance(); }));
  progress.finish();
  const double bits = bits_per_byte(report.mean_nll, static_cast<int64_t>(text.ids.size()), text.bytes);
  if (options.global.json) {
    Json json = {{"perplexity", report.perplexity},
                 {"mean_nll", report.mean_nll},
                 {"tokens_scored", report.tokens_scored},
                 {"segments", segments.count()},
                 {"segment_tokens", segments.tokens()},
                 {"tokens_total", text.ids.size()},
                 {"bytes", text.bytes},
                 {"bits_per_byte", bits},
                 {"bos", text.segments.bos_id ? Json(*text.segments.bos_id) : Json()},
                 {"model", model.name},
                 {"kind", model.kind},
                 {"adapter", adapter_json(model)}};
    print_json(json);
    return {};
  }
  std::printf("perplexity %.4f (mean nll %.6f, %.4f bits a byte) of %s (%s)\n", report.perplexity, report.mean_nll,
              bits, model.name.c_str(), model.kind.c_str());
  std::printf("%lld tokens scored in %lld segments of %lld%s\n", static_cast<long long>(report.tokens_scored),
              static_cast<long long>(segments.count()), static_cast<long long>(segments.tokens()),
              text.segments.bos_id ? ", each beginning with BOS" : "");
  return {};
}

}  // namespace

void add_eval_ppl(CLI::App& eval) {
  CLI::App* command = eval.add_subcommand("ppl", "Perplexity over non-overlapping segments of a text");
  command->footer("Example: hotaru eval ppl models/demo --text wiki.test.raw --segment 2048");
  auto options = std::make_shared<PplOptions>();
  command->add_option("MODEL", options->model, "Checkpoint directory or HEF")->required();
  add_text_options(*command, options->text);
  add_lora_option(*command, options->lora);
  add_global_options(*command, options->global);
  set_action(*command, [options] { return run_ppl(*options); });
}

}  // namespace hotaru::cli
