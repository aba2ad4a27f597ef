// hotaru eval logits MODEL --ids 1,2,3 [-o FILE.safetensors]
#include <algorithm>
#include <cstdio>
#include <numeric>
#include <optional>

#include "base/log.h"
#include "cli/eval_options.h"
#include "format/safetensors.h"

namespace hotaru::cli {
namespace {

constexpr size_t kShownTokens = 8;

struct LogitsOptions {
  GlobalOptions global;
  std::string model;
  std::string output;
  std::string lora;
  std::vector<int32_t> ids;
};

// Largest first; of equal ones the smaller id.
std::vector<int32_t> top_ids(const std::vector<float>& logits) {
  std::vector<int32_t> ids(logits.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto end = ids.begin() + static_cast<ptrdiff_t>(std::min(kShownTokens, ids.size()));
  std::partial_sort(ids.begin(), end, ids.end(), [&logits](int32_t a, int32_t b) {
    const float left = logits[static_cast<size_t>(a)];
    const float right = logits[static_cast<size_t>(b)];
    return left != right ? left > right : a < b;
  });
  ids.erase(end, ids.end());
  return ids;
}

struct Played {
  std::vector<float> last;  // row
  size_t rows = 0;
};

// Plays the ids; rows go to the file, if there is one.
Result<Played> play(const LogitModel& model, const LogitsOptions& options) {
  std::optional<SafetensorsWriter> writer;
  Played played;
  Result<void> written;
  const auto append = [&](int64_t position, std::span<const float> logits) -> Result<void> {
    if (!writer) {
      const int64_t rows = std::ssize(options.ids) - position;
      TRY_ASSIGN(writer, SafetensorsWriter::create(options.output, {{"logits", {rows, model.vocabulary}}}));
    }
    return writer->append(logits);
  };
  TRY(model.source(options.ids, [&](int64_t position, std::span<const float> logits) {
    if (!options.output.empty() && written) written = append(position, logits);
    played.last.assign(logits.begin(), logits.end());
    played.rows++;
  }));
  TRY(std::move(written));
  if (writer) TRY(writer->commit());
  return played;
}

Result<void> run_logits(const LogitsOptions& options) {
  if (options.global.quiet) set_verbosity(Verbosity::kQuiet);
  TRY_ASSIGN(const LogitModel model, open_logit_model(options.model, options.lora, options.global));
  TRY_ASSIGN(const Played played, play(model, options));
  const std::vector<float>& last = played.last;
  const std::vector<int32_t> top = top_ids(last);
  if (options.global.json) {
    Json json = {{"model", model.name},
                 {"kind", model.kind},
                 {"adapter", adapter_json(model)},
                 {"ids", options.ids},
                 {"positions", played.rows},
                 {"vocabulary", model.vocabulary},
                 {"top_ids", top},
                 {"top_logits", Json::array()},
                 {"output", options.output.empty() ? Json() : Json(options.output)}};
    for (const int32_t id : top) json["top_logits"].push_back(last[static_cast<size_t>(id)]);
    print_json(json);
    return {};
  }
  std::printf("%s (%s), after %zu tokens:\n", model.name.c_str(), model.kind.c_str(), options.ids.size());
  for (const int32_t id : top) {
    const auto token = model.tokenizer ? model.tokenizer->id_to_token(id) : Result<std::string>("");
    std::printf("%8d  %12.6f  %s\n", id, static_cast<double>(last[static_cast<size_t>(id)]),
                token ? token->c_str() : "");
  }
  return {};
}

}  // namespace

void add_eval_logits(CLI::App& eval) {
  CLI::App* command = eval.add_subcommand("logits", "Logits of every position of given token ids");
  command->footer("Example: hotaru eval logits models/demo --ids 995,17,4 -o logits.safetensors");
  auto options = std::make_shared<LogitsOptions>();
  command->add_option("MODEL", options->model, "Checkpoint directory or HEF")->required();
  command->add_option("--ids", options->ids, "Token ids: 1,2,3")->required()->delimiter(',');
  command->add_option("-o,--output", options->output,
                      "Tensor `logits`, float32 [positions, vocabulary], as safetensors");
  add_lora_option(*command, options->lora);
  add_global_options(*command, options->global);
  set_action(*command, [options] { return run_logits(*options); });
}

}  // namespace hotaru::cli
