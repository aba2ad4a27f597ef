#include "server/openai/embeddings.h"
#include "server/openai/completion_request.h"

#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "server/openai/answering.h"
#include "server/openai/sampling_fields.h"
#include "server/request/json_exchange.h"

namespace hotaru::server {
namespace {

constexpr std::string_view kPath = "/v1/embeddings";

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; j++) bits = bits << 8U | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0U);
    for (size_t j = 0; j < 4; j++) {
      text += i + j <= bytes.size() ? kDigits[bits >> (18U - 6U * j) & 63U] : '=';
    }
  }
  return text;
}

Result<std::vector<float>> shortened(std::vector<float> values, int dimensions) {
  const auto wanted = static_cast<size_t>(dimensions);
  if (wanted == 0 || wanted == values.size()) return values;
  if (wanted > values.size()) {
    return invalid("'dimensions': got {}, want at most the model's {}", wanted, values.size());
  }
  values.resize(wanted);
  double squares = 0;
  for (const float value : values) squares += static_cast<double>(value) * static_cast<double>(value);
  const auto length = static_cast<float>(std::sqrt(squares));
  for (float& value : values) value = length > 0 ? value / length : 0.0F;
  return values;
}

}  // namespace

std::string base64_floats(const std::vector<float>& values) {
  std::string bytes;
  bytes.reserve(values.size() * sizeof(float));
  for (const float value : values) {
    const auto bits = std::bit_cast<uint32_t>(value);
    for (unsigned shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift & 0xFFU);
  }
  return base64(bytes);
}

EmbeddingsRequest parse_embeddings_request(Fields& fields) {
  EmbeddingsRequest request;
  ReplyTask common;
  read_model(fields, common);
  request.task.model = std::move(common.model);
  request.task.lora = std::move(common.lora);
  request.task.keep_alive = common.keep_alive;
  request.task.texts = read_prompts(fields, "input");
  request.task.wants_embedding = true;
  for (const RawPrompt& text : request.task.texts) {
    const auto* written = std::get_if<TextPrompt>(&text);
    if (written != nullptr && written->text.empty()) fields.refuse("input", "got an empty string, want text");
  }
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  request.dimensions = static_cast<int>(fields.integer("dimensions", 1, kMost).value_or(0));
  const std::string format = fields.text("encoding_format").value_or("float");
  if (format != "float" && format != "base64") {
    fields.refuse("encoding_format", fmt::format("got {}, want float or base64", json_excerpt(Json(format))));
  }
  request.as_base64 = format == "base64";
  return request;
}

Result<std::string> embeddings_body(const EmbeddingsRequest& request, const std::vector<ReadText>& texts) {
  Json json;
  json["object"] = "list";
  json["data"] = Json::array();
  size_t tokens = 0;
  for (size_t i = 0; i < texts.size(); i++) {
    TRY_ASSIGN(const std::vector<float> values, shortened(texts[i].reading.embedding, request.dimensions));
    Json entry;
    entry["object"] = "embedding";
    entry["index"] = i;
    entry["embedding"] = request.as_base64 ? Json(base64_floats(values)) : Json(values);
    json["data"].push_back(std::move(entry));
    tokens += texts[i].ids.size();
  }
  json["model"] = request.task.model;
  json["usage"] = {{"prompt_tokens", tokens}, {"total_tokens", tokens}};
  return json_line(json);
}

void answer_embeddings(ModelPool& pool, const std::shared_ptr<Exchange>& exchange) {
  with_request(exchange, parse_embeddings_request, [&](EmbeddingsRequest request) {
    const ReadingsTask task = std::move(request.task);
    request.task.model = task.model;
    const auto readings = TextReadings::start(
        pool, task,
        [request = std::move(request), exchange](const ModelLease&, const Result<std::vector<ReadText>>& texts) {
          if (!texts) return exchange->respond(refusal(kPath, texts.error()));
          auto body = embeddings_body(request, *texts);
          if (!body) return exchange->respond(error_response(kPath, body.error(), "dimensions"));
          HttpResponse response;
          response.body = *std::move(body);
          exchange->respond(std::move(response));
        });
    exchange->on_gone([readings = std::weak_ptr(readings)] {
      if (const auto alive = readings.lock()) alive->abort();
    });
  });
}

}  // namespace hotaru::server
