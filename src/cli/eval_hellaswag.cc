// hotaru eval hellaswag MODEL --items FILE
#include <cstdio>

#include "base/file.h"
#include "base/log.h"
#include "cli/eval_options.h"
#include "eval/hellaswag.h"

namespace hotaru::cli {
namespace {

constexpr size_t kLongestItemsBytes = size_t{1} << 30;

struct HellaswagOptions {
  GlobalOptions global;
  std::string model;
  std::string items;
  std::string lora;
  size_t limit = 0;
};

Result<std::vector<HellaswagItem>> read_items(const HellaswagOptions& options) {
  TRY_ASSIGN(const std::string text, read_text_file(options.items, kLongestItemsBytes));
  auto items = parse_hellaswag(text);
  if (!items) return at(options.items, std::move(items).error());
  if (options.limit > 0 && options.limit < items->size()) {
    items->erase(items->begin() + static_cast<ptrdiff_t>(options.limit), items->end());
  }
  return items;
}

Result<void> run_hellaswag(const HellaswagOptions& options) {
  if (options.global.quiet) set_verbosity(Verbosity::kQuiet);
  TRY_ASSIGN(const std::vector<HellaswagItem> items, read_items(options));
  TRY_ASSIGN(const LogitModel model, open_logit_model(options.model, options.lora, options.global));
  TRY_ASSIGN(const Tokenizer* tokenizer, tokenizer_of(model));
  Progress progress("hellaswag", items.size(), "items");
  TRY_ASSIGN(const HellaswagReport report,
             measure_hellaswag({.source = &model.batch, .tokenizer = tokenizer, .max_tokens = model.max_tokens}, items,
                               [&progress](size_t count) { progress.advance(count); }));
  progress.finish();
  if (options.global.json) {
    print_json({{"acc", report.acc},
                {"acc_norm", report.acc_norm},
                {"items", report.items},
                {"stderr", report.acc_stderr},
                {"acc_norm_stderr", report.acc_norm_stderr},
                {"scores", report.scores},
                {"model", model.name},
                {"kind", model.kind},
                {"adapter", adapter_json(model)}});
    return {};
  }
  std::printf("acc %.4f +- %.4f, acc_norm %.4f +- %.4f over %lld items of %s (%s)\n", report.acc, report.acc_stderr,
              report.acc_norm, report.acc_norm_stderr, static_cast<long long>(report.items), model.name.c_str(),
              model.kind.c_str());
  return {};
}

}  // namespace

void add_eval_hellaswag(CLI::App& eval) {
  CLI::App* command = eval.add_subcommand("hellaswag", "Which of four endings is likeliest, 0-shot");
  command->footer("Example: hotaru eval hellaswag models/demo --items hellaswag_val.jsonl --limit 400");
  auto options = std::make_shared<HellaswagOptions>();
  command->add_option("MODEL", options->model, "Checkpoint directory or HEF")->required();
  command->add_option("--items", options->items, "JSONL, or six lines an item: context, label, four endings")
      ->required();
  command->add_option("--limit", options->limit, "Only the first N items")->check(CLI::PositiveNumber);
  add_lora_option(*command, options->lora);
  add_global_options(*command, options->global);
  set_action(*command, [options] { return run_hellaswag(*options); });
}

}  // namespace hotaru::cli
