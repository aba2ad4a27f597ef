#include "server/ollama/embed.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <utility>

#include "server/ollama/reply_request.h"
#include "server/reply/text_readings.h"
#include "server/request/errors.h"

namespace hotaru::server {
namespace {

struct EmbedRequest {
  ReadingsTask task;
  size_t dimensions = 0;  // 0: all
  bool is_of_old = false;
  std::chrono::steady_clock::time_point received = std::chrono::steady_clock::now();
};

Result<EmbedRequest> parse(std::string_view body, bool is_of_old) {
  TRY_ASSIGN(const Json json, Fields::parse_object(body));
  Fields fields(json, "");
  EmbedRequest request;
  request.is_of_old = is_of_old;
  ReplyTask common;
  read_model_fields(fields, common);
  request.task.model = std::move(common.model);
  request.task.keep_alive = common.keep_alive;
  request.task.lora = fields.text("lora").value_or("");
  request.task.wants_embedding = true;
  std::vector<std::string> texts;
  if (is_of_old) {
    request.task.cuts_texts = true;
    if (auto prompt = fields.text("prompt"); prompt && !prompt->empty()) texts.push_back(*std::move(prompt));
  } else {
    request.task.cuts_texts = fields.boolean("truncate").value_or(true);
    constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
    request.dimensions = static_cast<size_t>(fields.integer("dimensions", 0, kMost).value_or(0));
    texts = fields.texts("input").value_or(std::vector<std::string>());
    const Json* input = fields.any("input");
    if (input != nullptr && input->is_string() && texts.front().empty()) texts.clear();  // only loads
  }
  for (std::string& text : texts) request.task.texts.emplace_back(TextPrompt{std::move(text)});
  if (!fields.ok()) return fields.error();
  return request;
}

// The first `dimensions` of a vector of length 1, to length 1 again.
std::vector<float> shortened(std::vector<float> vector, size_t dimensions) {
  if (dimensions == 0 || dimensions >= vector.size()) return vector;
  vector.resize(dimensions);
  double squares = 0.0;
  for (const float value : vector) squares += static_cast<double>(value) * static_cast<double>(value);
  const double length = std::sqrt(squares);
  for (float& value : vector) value = length > 0.0 ? static_cast<float>(static_cast<double>(value) / length) : 0.0F;
  return vector;
}

HttpResponse answer_of(const EmbedRequest& request, const ModelLease& lease, const std::vector<ReadText>& texts) {
  Json json;
  size_t tokens = 0;
  Json vectors = Json::array();
  for (const ReadText& text : texts) {
    vectors.push_back(shortened(text.reading.embedding, request.dimensions));
    tokens += text.ids.size();
  }
  if (request.is_of_old) {
    json["embedding"] = vectors.empty() ? Json::array() : std::move(vectors.front());
  } else {
    json["model"] = request.task.model;
    json["embeddings"] = std::move(vectors);
    json["total_duration"] = std::chrono::nanoseconds(std::chrono::steady_clock::now() - request.received).count();
    json["load_duration"] = lease.load_time.count();
    json["prompt_eval_count"] = tokens;
  }
  HttpResponse response;
  response.body = json.dump();
  return response;
}

void answer(ModelPool& pool, bool is_of_old, const std::shared_ptr<Exchange>& exchange) {
  const std::string& path = exchange->request().path;
  Result<EmbedRequest> parsed = parse(exchange->request().body, is_of_old);
  if (!parsed) return exchange->respond(error_response(path, parsed.error()));
  const auto request = std::make_shared<const EmbedRequest>(*std::move(parsed));
  if (request->task.texts.empty()) {
    const Result<ModelLease> lease = pool.acquire(request->task.model, request->task.keep_alive);
    return exchange->respond(lease ? answer_of(*request, *lease, {}) : error_response(path, lease.error()));
  }
  const auto readings = TextReadings::start(
      pool, request->task, [request, exchange](const ModelLease& lease, const Result<std::vector<ReadText>>& texts) {
        exchange->respond(texts ? answer_of(*request, lease, *texts)
                                : error_response(exchange->request().path, texts.error()));
      });
  exchange->on_gone([readings = std::weak_ptr(readings)] {
    if (const auto alive = readings.lock()) alive->abort();
  });
}

}  // namespace

void answer_embed(ModelPool& pool, const std::shared_ptr<Exchange>& exchange) { answer(pool, false, exchange); }

void answer_embeddings_of_old(ModelPool& pool, const std::shared_ptr<Exchange>& exchange) {
  answer(pool, true, exchange);
}

}  // namespace hotaru::server
