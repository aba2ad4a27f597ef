#include "server/openai/sampling_fields.h"

#include <charconv>
#include <limits>

namespace hotaru::server {
namespace {

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();

std::optional<float> read_float(Fields& fields, std::string_view name, double low, double high) {
  const std::optional<double> number = fields.number(name, low, high);
  return number ? std::optional(static_cast<float>(*number)) : std::nullopt;
}

// {"50256": -100}
void read_logit_bias(Fields& fields, ReplyTask& task) {
  const Json* object = fields.object("logit_bias");
  if (object == nullptr) return;
  Fields entries(*object, fields.path_of("logit_bias"));
  for (const auto& [key, value] : object->items()) {
    int32_t id = -1;
    const auto [end, status] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (status != std::errc() || end != key.data() + key.size() || id < 0) {
      return fields.refuse("logit_bias", fmt::format("got the key {}, want token ids", json_excerpt(Json(key))));
    }
    const std::optional<double> bias = entries.number(key, -100.0, 100.0);
    if (!bias) {
      if (entries.ok()) entries.refuse(key, "got null, want a number in [-100, 100]");
      return fields.take_error(entries);
    }
    task.sampling.logit_bias.push_back({id, static_cast<float>(*bias)});
  }
}

void read_stop(Fields& fields, ReplyTask& task) {
  const auto stop = fields.texts("stop");
  if (!stop) return;
  for (const std::string& text : *stop) {
    if (text.empty()) return fields.refuse("stop", "got an empty string, want text to stop at");
  }
  task.stop = *stop;
}

}  // namespace

void read_model(Fields& fields, ReplyTask& task) {
  task.model = fields.required_text("model");
  task.lora = fields.text("lora").value_or("");
  const Json* keep_alive = fields.any("keep_alive");
  if (keep_alive == nullptr) return;
  auto duration = parse_keep_alive(*keep_alive);
  if (!duration) return fields.refuse("keep_alive", duration.error().message);
  task.keep_alive = *duration;
}

void read_common_sampling(Fields& fields, ReplyTask& task) {
  read_model(fields, task);
  SamplingChoice& sampling = task.sampling;
  sampling.temperature = read_float(fields, "temperature", 0.0, 2.0);
  sampling.top_p = read_float(fields, "top_p", 0.0, 1.0);
  sampling.min_p = read_float(fields, "min_p", 0.0, 1.0);
  sampling.repetition_penalty = read_float(fields, "repetition_penalty", 0.01, 100.0);
  if (const auto top_k = fields.integer("top_k", 0, kMost)) sampling.top_k = static_cast<int>(*top_k);
  constexpr int64_t kLow = std::numeric_limits<int64_t>::min();
  constexpr int64_t kHigh = std::numeric_limits<int64_t>::max();
  if (const auto seed = fields.integer("seed", kLow, kHigh)) sampling.seed = static_cast<uint64_t>(*seed);
}

void read_sampling(Fields& fields, ReplyTask& task) {
  read_common_sampling(fields, task);
  task.sampling.frequency_penalty = read_float(fields, "frequency_penalty", -2.0, 2.0);
  task.sampling.presence_penalty = read_float(fields, "presence_penalty", -2.0, 2.0);
  read_logit_bias(fields, task);
  read_stop(fields, task);
}

void read_max_tokens(Fields& fields, std::initializer_list<std::string_view> names, ReplyTask& task) {
  bool is_said = false;
  for (const std::string_view name : names) {
    const auto tokens = fields.integer(name, -1, kMost);
    if (tokens && !is_said) task.max_tokens = static_cast<int>(*tokens);
    is_said = is_said || tokens.has_value();
  }
}

}  // namespace hotaru::server
