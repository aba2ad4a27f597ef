#include "server/reply/model_options.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace hotaru::server {
namespace {

constexpr double kAny = std::numeric_limits<double>::infinity();
constexpr double kLargest = std::numeric_limits<float>::max();
constexpr int64_t kLargestInt = std::numeric_limits<int>::max();

void read_number(Fields& options, std::string_view name, std::pair<double, double> range,
                 std::optional<float>& target) {
  if (const std::optional<double> value = options.number(name, range.first, range.second)) {
    target = static_cast<float>(*value);
  }
}

template <typename T>
void fill(std::optional<T>& value, const std::optional<T>& otherwise) {
  if (!value) value = otherwise;
}

}  // namespace

void read_model_options(Fields& options, ReplyTask& task) {
  SamplingChoice& sampling = task.sampling;
  read_number(options, "temperature", {0.0, kLargest}, sampling.temperature);
  read_number(options, "top_p", {0.0, 1.0}, sampling.top_p);
  read_number(options, "min_p", {0.0, 1.0}, sampling.min_p);
  read_number(options, "repeat_penalty", {std::numeric_limits<float>::min(), kLargest}, sampling.repetition_penalty);
  read_number(options, "presence_penalty", {-kLargest, kLargest}, sampling.presence_penalty);
  read_number(options, "frequency_penalty", {-kLargest, kLargest}, sampling.frequency_penalty);
  if (const auto top_k = options.integer("top_k", -1, kLargestInt)) {
    sampling.top_k = static_cast<int>(std::max<int64_t>(*top_k, 0));  // -1: off, too
  }
  // Ollama's -1: a random one.
  if (const auto seed =
          options.integer("seed", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
      seed && *seed != -1) {
    sampling.seed = static_cast<uint64_t>(*seed);
  }
  // -1: no end; -2: until the context is full. Both are ours.
  if (const auto count = options.integer("num_predict", -2, kLargestInt)) {
    task.max_tokens = static_cast<int>(std::max<int64_t>(*count, -1));
  }
  if (const auto count = options.integer("num_keep", -1, kLargestInt)) task.keep_tokens = static_cast<int>(*count);
  if (auto stop = options.texts("stop")) task.stop = *std::move(stop);
  // What a HEF has fixed, and what is not Hotaru's way of sampling: the types only.
  for (const std::string_view name : {"num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "repeat_last_n"}) {
    options.integer(name, std::numeric_limits<int>::min(), kLargestInt);
  }
  options.number("typical_p", -kAny, kAny);
  options.boolean("use_mmap");
}

Result<void> apply_model_options(const Json& options, ReplyTask& task) {
  if (options.is_null()) return {};
  Fields fields(options, "parameters");
  ReplyTask stored;
  read_model_options(fields, stored);
  if (!fields.ok()) return fields.error();
  SamplingChoice& sampling = task.sampling;
  fill(sampling.temperature, stored.sampling.temperature);
  fill(sampling.top_p, stored.sampling.top_p);
  fill(sampling.min_p, stored.sampling.min_p);
  fill(sampling.repetition_penalty, stored.sampling.repetition_penalty);
  fill(sampling.frequency_penalty, stored.sampling.frequency_penalty);
  fill(sampling.presence_penalty, stored.sampling.presence_penalty);
  fill(sampling.top_k, stored.sampling.top_k);
  fill(sampling.seed, stored.sampling.seed);
  if (task.max_tokens < 0) task.max_tokens = stored.max_tokens;
  if (task.keep_tokens < 0) task.keep_tokens = stored.keep_tokens;
  if (task.stop.empty()) task.stop = std::move(stored.stop);
  return {};
}

}  // namespace hotaru::server
