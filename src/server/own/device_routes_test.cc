// Hotaru's own routes, held against docs/openapi.json.
#include "server/own/device_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cctype>
#include <set>

#include "server/api.h"
#include "server/http/recorded_exchange.h"
#include "server/own/description.h"
#include "server/store/store_folder.h"

namespace hotaru::server {
namespace {

using ::testing::ElementsAre;

class OwnRoutesTest : public ::testing::Test {
 protected:
  OwnRoutesTest() : store_(folder_.open()) {
    folder_.write("small.hef", tiny_hef({"a", "b"}));
    ModelPoolOptions options;
    options.threads = 1;
    pool_ = ModelPool::create(store_, options);
    router_ = api_routes(*pool_, {.request_metrics = [] { return std::string(); }, .store = {}});
  }
  Json get(const std::string& path) {
    const auto exchange = RecordedExchange::make("GET", path);
    router_.find("GET", path).route->handler(exchange);
    EXPECT_EQ(exchange->response().status, 200);
    return Json::parse(exchange->body());
  }

  StoreFolder folder_;
  ModelStore store_;
  std::unique_ptr<ModelPool> pool_;
  Router router_;
};

TEST_F(OwnRoutesTest, TheDescriptionHasTheServersRoutes) {
  const Json description = get("/hotaru/v1/openapi.json");
  std::set<std::string> described, served;
  for (const auto& [path, methods] : description["paths"].items()) {
    for (const auto& [method, operation] : methods.items()) {
      if (method != "parameters") described.insert(method + " " + path);
    }
  }
  for (const Route& route : router_.routes()) {
    if (!route.path.starts_with("/hotaru/") && route.path != "/healthz" && route.path != "/metrics") continue;
    std::string method = route.method;
    for (char& c : method) c = static_cast<char>(std::tolower(c));
    served.insert(method + " " + route.path);
  }
  EXPECT_EQ(described, served);
}

TEST_F(OwnRoutesTest, AnswersAreAsDescribed) {
  const auto lease = pool_->acquire("small:a", KeepAlive(60000));
  ASSERT_TRUE(lease.ok()) << lease.error().message;
  const Json description = get("/hotaru/v1/openapi.json");
  for (const char* path : {"/hotaru/v1/device", "/hotaru/v1/models"}) {
    expect_fits(get(path), answer_schema(description, path, "get", "200"), description, path);
  }
}

TEST_F(OwnRoutesTest, TheDeviceSaysWhatIsLoaded) {
  EXPECT_EQ(get("/hotaru/v1/device").dump(), R"({"used_bytes":0,"models":[]})");
  const auto lease = pool_->acquire("small");
  ASSERT_TRUE(lease.ok());
  const Json device = get("/hotaru/v1/device");
  ASSERT_EQ(device["models"].size(), 1U);
  EXPECT_EQ(device["models"][0]["name"], "small:latest");
  EXPECT_EQ(device["models"][0]["users"], 1);
  EXPECT_GT(device["used_bytes"], 0);
  EXPECT_EQ(device["used_bytes"], device["models"][0]["device_bytes"]);
}

TEST_F(OwnRoutesTest, ModelsHaveTheirAdapters) {
  Json models = get("/hotaru/v1/models")["models"];
  ASSERT_EQ(models.size(), 1U);
  EXPECT_EQ(models[0]["name"], "small");
  EXPECT_EQ(models[0]["is_loaded"], false);
  EXPECT_THAT(models[0]["adapters"].get<std::vector<std::string>>(), ElementsAre("a", "b"));
  const auto lease = pool_->acquire("small:b");
  models = get("/hotaru/v1/models")["models"];
  EXPECT_EQ(models[0]["is_loaded"], true);
}

}  // namespace
}  // namespace hotaru::server
