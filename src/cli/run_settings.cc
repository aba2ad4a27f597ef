#include "cli/run_settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <variant>

#include "base/file.h"
#include "base/json.h"
#include "cli/parse_number.h"
#include "genai/grammar_mask.h"

namespace hotaru::cli {
namespace {

using Target = std::variant<std::optional<float> SamplingChoice::*, std::optional<int> SamplingChoice::*,
                            std::optional<uint64_t> SamplingChoice::*, int RunSettings::*>;
struct Parameter {
  std::string_view name;
  Target target;
};
constexpr Parameter kParameters[] = {
    {"temperature", &SamplingChoice::temperature},
    {"top_p", &SamplingChoice::top_p},
    {"top_k", &SamplingChoice::top_k},
    {"min_p", &SamplingChoice::min_p},
    {"repetition_penalty", &SamplingChoice::repetition_penalty},
    {"frequency_penalty", &SamplingChoice::frequency_penalty},
    {"presence_penalty", &SamplingChoice::presence_penalty},
    {"seed", &SamplingChoice::seed},
    {"max_tokens", &RunSettings::max_tokens},
};

bool assign(RunSettings& settings, const Target& target, const std::string& text) {
  return std::visit(
      [&](auto member) {
        if constexpr (std::is_same_v<decltype(member), int RunSettings::*>) {
          const auto value = parse_number<int>(text);
          if (value) settings.*member = *value;
          return value.has_value();
        } else {
          auto& field = settings.sampling.*member;
          const auto value = parse_number<typename std::decay_t<decltype(field)>::value_type>(text);
          if (value) field = *value;
          return value.has_value();
        }
      },
      target);
}

double rate(int tokens, double seconds) { return seconds > 0.0 ? tokens / seconds : 0.0; }

std::string duration_text(double seconds) {
  return seconds < 1.0 ? fmt::format("{:.3f}ms", seconds * 1e3) : fmt::format("{:.3f}s", seconds);
}

}  // namespace

Result<int> chosen_adapter(const RunSettings& settings, const LanguageModel& model) {
  if (settings.adapter.empty()) return kNoAdapter;
  return find_adapter(model.device().info(), settings.adapter);
}

std::string adapter_name(const LanguageModel& model, int adapter) {
  return adapter == kNoAdapter ? "" : model.device().info().adapters.at(static_cast<size_t>(adapter));
}

Result<TurnOptions> turn_options(const RunSettings& settings, const LanguageModel& model) {
  TurnOptions turn;
  turn.stop = settings.stop;
  GenerationOptions& options = turn.generation;
  TRY_ASSIGN(options, model.generation_options(settings.sampling));
  options.max_tokens = settings.max_tokens;
  options.when_full = settings.when_full;
  options.prefill_chunk = settings.prefill_chunk;
  options.hash_logits = settings.hash_logits;
  if (settings.format) TRY(obey_grammar(options, *settings.format, model));
  return turn;
}

Result<void> set_parameter(RunSettings& settings, std::string_view name, const std::string& value) {
  if (name == "stop") {
    settings.stop = {value};
    return {};
  }
  RunSettings changed = settings;
  std::string names = "stop";
  for (const Parameter& parameter : kParameters) {
    names += fmt::format(", {}", parameter.name);
    if (parameter.name != name) continue;
    if (!assign(changed, parameter.target, value)) return invalid("{}: got '{}', want a number", name, value);
    SamplingParams params = resolve_sampling(changed.sampling, {});
    params.logit_bias.clear();  // flags, checked against the vocabulary elsewhere
    TRY(check_sampling_params(params, 0));
    settings = std::move(changed);
    return {};
  }
  return invalid("no parameter '{}', want one of {}", name, names);
}

std::string parameters_text(const RunSettings& settings, const LanguageModel& model) {
  const SamplingParams params = resolve_sampling(settings.sampling, model.defaults());
  std::string text;
  const auto line = [&text](std::string_view name, const auto& value) {
    text += fmt::format("  {:<19} {}\n", name, value);
  };
  line("temperature", params.temperature);
  line("top_p", params.top_p);
  line("top_k", params.top_k);
  line("min_p", params.min_p);
  line("repetition_penalty", params.repetition_penalty);
  line("frequency_penalty", params.frequency_penalty);
  line("presence_penalty", params.presence_penalty);
  line("seed", settings.sampling.seed ? fmt::format("{}", *settings.sampling.seed) : "random");
  line("max_tokens", settings.max_tokens < 0 ? "what the context holds" : fmt::format("{}", settings.max_tokens));
  for (const std::string& stop : settings.stop) line("stop", fmt::format("\"{}\"", stop));
  return text;
}

Result<GrammarSpec> parse_format(const std::string& text) {
  if (text == "json") return GrammarSpec{GrammarSpec::Kind::kJsonObject, ""};
  std::string schema = text;
  if (!text.starts_with('{')) {
    TRY_ASSIGN(schema, read_text_file(text));
  }
  const std::string place = schema == text ? "JSON schema" : text;
  TRY_ASSIGN(const Json parsed, parse_json(schema, place));
  if (!parsed.is_object()) return invalid("{}: got {}, want an object", place, json_excerpt(parsed));
  return GrammarSpec{GrammarSpec::Kind::kJsonSchema, parsed.dump()};
}

Result<LogitBias> parse_logit_bias(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals != std::string::npos) {
    const auto id = parse_number<int32_t>(std::string_view(text).substr(0, equals));
    const auto bias = parse_number<float>(std::string_view(text).substr(equals + 1));
    if (id && *id >= 0 && bias && !std::isnan(*bias)) return LogitBias{*id, *bias};
  }
  return invalid("got '{}', want ID=BIAS as in 42=-1.5 or 42=-inf", text);
}

std::string verbose_text(const Reply& reply, double load_seconds) {
  const double prefill = reply.timing.prefill_seconds;
  const double decode = reply.timing.decode_seconds;
  const int generated = static_cast<int>(reply.token_ids.size());
  std::string text;
  const auto line = [&text](std::string_view name, const std::string& value) {
    text += fmt::format("{:<22}{}\n", name, value);
  };
  const double first = std::max(prefill, reply.timing.first_token_seconds);
  line("total duration:", duration_text(load_seconds + first + decode));
  if (load_seconds > 0.0) line("load duration:", duration_text(load_seconds));
  line("time to first token:", duration_text(reply.timing.first_token_seconds));
  line("prompt eval count:", fmt::format("{} token(s)", reply.prefilled_tokens));
  line("prompt eval duration:", duration_text(prefill));
  line("prompt eval rate:", fmt::format("{:.2f} tokens/s", rate(reply.prefilled_tokens, prefill)));
  line("eval count:", fmt::format("{} token(s)", generated));
  line("eval duration:", duration_text(decode));
  line("eval rate:", fmt::format("{:.2f} tokens/s", rate(std::max(0, generated - 1), decode)));
  return text;
}

}  // namespace hotaru::cli
