#include "server/own/service_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/http/recorded_exchange.h"

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
  return model;
}

TEST(ModelMetrics, SayWhatEachModelDoes) {
  const std::string text = model_metrics({loaded_model()});
  EXPECT_THAT(text, HasSubstr("hotaru_models_loaded 1\n"));
  EXPECT_THAT(text, HasSubstr("hotaru_device_bytes{model=\"small:latest\"} 3000000000\n"));
  EXPECT_THAT(text, HasSubstr("hotaru_generated_tokens_total{model=\"small:latest\"} 77\n"));
  EXPECT_THAT(text, HasSubstr("hotaru_queued_requests{model=\"small:latest\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE hotaru_prompt_tokens_total counter\n"));
}

}  // namespace
}  // namespace hotaru::server
