#include "server/own/service_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/http/recorded_exchange.h"
#include "server/store/store_folder.h"

namespace hotaru::server {
namespace {

using ::testing::HasSubstr;

LoadedModel loaded_model() {
  LoadedModel model;
  model.stored.name.name = "small";
  model.device_bytes = 3'000'000'000;
  model.users = 2;
  model.state.generated_tokens = 77;
  model.state.queued_requests = 3;
  model.state.paused_requests = 2;
  return model;
}

TEST(ModelMetrics, SayWhatEachModelDoes) {
  const std::string text = model_metrics({loaded_model()});
  EXPECT_THAT(text, HasSubstr("hotaru_models_loaded 1\n"));
  EXPECT_THAT(text, HasSubstr("hotaru_device_bytes{model=\"small:latest\"} 3000000000\n"));
  EXPECT_THAT(text, HasSubstr("hotaru_generated_tokens_total{model=\"small:latest\"} 77\n"));
  EXPECT_THAT(text, HasSubstr("hotaru_queued_requests{model=\"small:latest\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("hotaru_paused_requests{model=\"small:latest\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE hotaru_prompt_tokens_total counter\n"));
}

TEST(ServiceRoutes, GreetSayThatTheyLiveAndCount) {
  const StoreFolder folder;
  ModelStore store = folder.open();
  const auto pool = ModelPool::create(store, {});
  Router router;
  add_service_routes(router, *pool, [] { return std::string("more\n"); });
  const auto body = [&](const std::string& path) {
    const auto exchange = RecordedExchange::make("GET", path);
    router.find("GET", path).route->handler(exchange);
    return exchange->body();
  };
  EXPECT_EQ(body("/"), "Ollama is running");
  HttpRequest browser;
  browser.headers = {{"accept", "text/html,*/*;q=0.8"}};
  const auto page = std::make_shared<RecordedExchange>(browser);
  router.find("GET", "/").route->handler(page);
  EXPECT_EQ(page->response().content_type, "text/html; charset=utf-8");
  EXPECT_THAT(page->body(), HasSubstr("<title>Hotaru</title>"));
  EXPECT_EQ(body("/healthz"), "ok\n");
  EXPECT_THAT(body("/metrics"), HasSubstr("hotaru_models_loaded 0\n"));
  EXPECT_THAT(body("/metrics"), HasSubstr("more\n"));
  EXPECT_EQ(router.find("GET", "/healthz").route->access, Access::kOpen);
  EXPECT_EQ(router.find("GET", "/metrics").route->access, Access::kWithKey);
}

}  // namespace
}  // namespace hotaru::server
