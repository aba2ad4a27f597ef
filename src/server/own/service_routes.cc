#include "server/own/service_routes.h"

#include <fmt/format.h>

#include <array>
#include <string_view>
#include <utility>

#include "server/http/request_counters.h"
#include "server/request/json_exchange.h"

namespace hotaru {
std::string_view chat_page();  // src/server/page/index.html, embedded
}

namespace hotaru::server {
namespace {

void answer_text(const SharedExchange& exchange, std::string text, std::string content_type) {
  HttpResponse response;
  response.content_type = std::move(content_type);
  response.body = std::move(text);
  exchange->respond(std::move(response));
}

// A browser asks for HTML and gets the chat page. Ollama's clients look whether a server is there by its own words.
void answer_root(const SharedExchange& exchange) {
  HttpResponse response;
  response.headers = {{"Vary", "Accept"}};
  if (exchange->request().header("accept").find("text/html") == std::string_view::npos) {
    response.content_type = "text/plain; charset=utf-8";
    response.body = "Ollama is running";
  } else {
    response.content_type = "text/html; charset=utf-8";
    response.body = chat_page();
    response.headers.emplace_back(
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src "
        "data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    response.headers.emplace_back("X-Content-Type-Options", "nosniff");
    response.headers.emplace_back("Referrer-Policy", "no-referrer");
    response.headers.emplace_back("Cache-Control", "no-cache");
  }
  exchange->respond(std::move(response));
}

struct Metric {
  const char* name;
  const char* type;
  double (*value)(const LoadedModel& model);
};

constexpr auto kMetrics = std::to_array<Metric>({
    {"hotaru_prompt_tokens_total", "counter",
     [](const LoadedModel& m) { return static_cast<double>(m.state.prompt_tokens); }},
    {"hotaru_reused_tokens_total", "counter",
     [](const LoadedModel& m) { return static_cast<double>(m.state.reused_tokens); }},
    {"hotaru_generated_tokens_total", "counter",
     [](const LoadedModel& m) { return static_cast<double>(m.state.generated_tokens); }},
    {"hotaru_queued_requests", "gauge",
     [](const LoadedModel& m) { return static_cast<double>(m.state.queued_requests); }},
    {"hotaru_running_requests", "gauge",
     [](const LoadedModel& m) { return static_cast<double>(m.state.running_requests); }},
    {"hotaru_paused_requests", "gauge",
     [](const LoadedModel& m) { return static_cast<double>(m.state.paused_requests); }},
    {"hotaru_contexts", "gauge", [](const LoadedModel& m) { return static_cast<double>(m.state.contexts); }},
    {"hotaru_kv_bytes", "gauge", [](const LoadedModel& m) { return static_cast<double>(m.state.kv_bytes); }},
    {"hotaru_kv_bytes_used", "gauge", [](const LoadedModel& m) { return static_cast<double>(m.state.kv_bytes_used); }},
    {"hotaru_device_bytes", "gauge", [](const LoadedModel& m) { return static_cast<double>(m.device_bytes); }},
    {"hotaru_model_users", "gauge", [](const LoadedModel& m) { return static_cast<double>(m.users); }},
});

}  // namespace

std::string model_metrics(const std::vector<LoadedModel>& models) {
  std::string text = fmt::format("# TYPE hotaru_models_loaded gauge\nhotaru_models_loaded {}\n", models.size());
  for (const Metric& metric : kMetrics) {
    text += fmt::format("# TYPE {} {}\n", metric.name, metric.type);
    for (const LoadedModel& model : models) {
      text += fmt::format("{}{{model=\"{}\"}} {:.0f}\n", metric.name, metric_label(model.stored.name.text()),
                          metric.value(model));
    }
  }
  return text;
}

void add_service_routes(Router& router, ModelPool& pool, std::function<std::string()> request_metrics) {
  router.add({.method = "GET", .path = "/", .handler = answer_root, .access = Access::kOpen});
  router.add({.method = "GET",
              .path = "/healthz",
              .handler = [](const SharedExchange& exchange) { answer_text(exchange, "ok\n", "text/plain"); },
              .access = Access::kOpen});
  router.add({.method = "GET",
              .path = "/metrics",
              .handler = [&pool, request_metrics = std::move(request_metrics)](const SharedExchange& exchange) {
                answer_text(exchange, model_metrics(pool.loaded()) + request_metrics(), "text/plain; version=0.0.4");
              }});
}

}  // namespace hotaru::server
