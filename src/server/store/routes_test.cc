#include "server/store/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/http/recorded_exchange.h"
#include "server/store/store_folder.h"

namespace hotaru::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class StoreRoutes : public ::testing::Test {
 protected:
  StoreRoutes() : store_(folder_.open()), pool_(ModelPool::create(store_, {.threads = 1})) {
    folder_.write("demo.hef", tiny_hef({"a"}));
    add_store_routes(router_, *pool_, {"0.1.0", ""});
  }

  // Plays the request; the whole body, with the status in status_.
  std::string call(const std::string& method, const std::string& path, const std::string& body = {},
                   const std::string& body_file = {}) {
    const Router::Match match = router_.find(method, path);
    if (match.route == nullptr) return "no route";
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.body = body;
    request.body_file = body_file;
    request.parameters = match.parameters;
    const auto exchange = std::make_shared<RecordedExchange>(std::move(request));
    match.route->handler(exchange);
    std::string answer = exchange->body();
    status_ = exchange->response().status;
    return answer;
  }
  Json json(const std::string& method, const std::string& path, const std::string& body = {}) {
    return *parse_json(call(method, path, body), path);
  }
  std::string error(const std::string& method, const std::string& path, const std::string& body) {
    return json(method, path, body).value("error", "");
  }

  StoreFolder folder_;
  ModelStore store_;
  std::unique_ptr<ModelPool> pool_;
  Router router_;
  int status_ = 0;
};

TEST_F(StoreRoutes, TagsAndVersion) {
  EXPECT_EQ(json("GET", "/api/version"), Json({{"version", "0.1.0"}}));
  const Json tags = json("GET", "/api/tags");
  ASSERT_EQ(tags["models"].size(), 2U);
  const Json& base = tags["models"][0]["name"] == "demo:latest" ? tags["models"][0] : tags["models"][1];
  EXPECT_EQ(base["model"], "demo:latest");
  EXPECT_EQ(base["size"], tiny_hef({"a"}).size());
  EXPECT_EQ(base["digest"], sha256_hex(tiny_hef({"a"})));
  EXPECT_THAT(base["modified_at"].get<std::string>(), ::testing::MatchesRegex("20[0-9-]+T[0-9:]+\\.[0-9]{9}Z"));
  EXPECT_EQ(base["details"]["format"], "hef");
  EXPECT_EQ(base["details"]["family"], "qwen2");
  EXPECT_EQ(base["details"]["families"], Json({"qwen2"}));
  EXPECT_EQ(base["details"]["parameter_size"], "1.5B");
  const Json models = json("GET", "/v1/models");
  EXPECT_EQ(models["object"], "list");
  EXPECT_EQ(models["data"].size(), 2U);
  EXPECT_EQ(json("GET", "/v1/models/demo")["id"], "demo:latest");
  EXPECT_EQ(json("GET", "/v1/models/no/such")["error"]["code"], "model_not_found");
  EXPECT_EQ(status_, 404);
}

TEST_F(StoreRoutes, PsShowsWhatIsLoaded) {
  EXPECT_EQ(json("GET", "/api/ps"), Json({{"models", Json::array()}}));
  const Result<ModelLease> lease = pool_->acquire("demo:a");
  const Json ps = json("GET", "/api/ps");
  ASSERT_EQ(ps["models"].size(), 1U);
  EXPECT_EQ(ps["models"][0]["name"], "demo:a");
  EXPECT_EQ(ps["models"][0]["context_length"], 128);
  EXPECT_EQ(ps["models"][0]["size_vram"], lease->engine->model().device().info().total_bytes);
  EXPECT_THAT(ps["models"][0]["expires_at"].get<std::string>(), HasSubstr("T"));
}

TEST_F(StoreRoutes, ShowSaysWhatIsInTheFile) {
  const Json shown = json("POST", "/api/show", R"({"model": "demo"})");
  EXPECT_EQ(status_, 200);
  EXPECT_EQ(shown["model_info"]["general.architecture"], "qwen2");
  EXPECT_EQ(shown["model_info"]["qwen2.context_length"], 128);
  EXPECT_EQ(shown["model_info"]["hotaru.adapters"], Json({"a"}));
  EXPECT_EQ(shown["capabilities"][0], "completion");
  EXPECT_THAT(shown["modelfile"].get<std::string>(), HasSubstr("\nFROM " + folder_.path("demo.hef")));
  EXPECT_EQ(error("POST", "/api/show", R"({"model": "x"})"), "model 'x' not found");
  EXPECT_EQ(status_, 404);
  EXPECT_THAT(error("POST", "/api/show", "{}"), HasSubstr("'model'"));
  EXPECT_EQ(status_, 400);
  EXPECT_THAT(error("POST", "/api/show", R"({"model": 3})"), HasSubstr("'model'"));
  EXPECT_EQ(json("POST", "/api/show", R"({"name": "demo"})")["details"]["family"], "qwen2");
}

// A chat with tools, or one that must reason, is taken by just these models.
TEST_F(StoreRoutes, ShowSaysWhatAChatMayAskFor) {
  const auto capabilities = [this](const std::string& chat_template) {
    const Json made = {{"model", "talks"}, {"from", "demo"}, {"template", chat_template}};
    call("POST", "/api/create", made.dump());
    return json("POST", "/api/show", R"({"model": "talks"})")["capabilities"].dump();
  };
  EXPECT_EQ(capabilities("{# <tool_call> <think> #}"), R"(["completion","tools","thinking","embedding"])");
  EXPECT_EQ(capabilities("{# tools that are written in no way that is known here #}"), R"(["completion","embedding"])");
}

TEST_F(StoreRoutes, NamesThatAreNoNamesAreRefusedEverywhere) {
  for (const std::string name : {"../demo", "/etc/passwd", "a/../../b", "a:../b"}) {
    for (const char* path : {"/api/show", "/api/create", "/api/pull"}) {
      EXPECT_THAT(error("POST", path, Json({{"model", name}, {"from", "demo"}}).dump()),
                  HasSubstr("invalid model name"))
          << path << " " << name;
      EXPECT_EQ(status_, 400);
    }
    EXPECT_THAT(error("DELETE", "/api/delete", Json({{"model", name}}).dump()), HasSubstr("invalid model name"));
    EXPECT_THAT(error("POST", "/api/copy", Json({{"source", "demo"}, {"destination", name}}).dump()),
                HasSubstr("invalid model name"));
    EXPECT_EQ(status_, 400);
  }
  EXPECT_THAT(folder_.files(), ElementsAre("demo.hef"));
}

TEST_F(StoreRoutes, CopyAndDelete) {
  EXPECT_EQ(call("POST", "/api/copy", R"({"source": "demo", "destination": "backup"})"), "");
  EXPECT_EQ(status_, 200);
  EXPECT_TRUE(folder_.has("backup.hef"));
  EXPECT_EQ(error("POST", "/api/copy", R"({"source": "x", "destination": "y"})"), "model 'x' not found");
  EXPECT_THAT(error("POST", "/api/copy", R"({"source": "demo"})"), HasSubstr("'destination'"));
  EXPECT_EQ(call("DELETE", "/api/delete", R"({"model": "backup:latest"})"), "");
  EXPECT_EQ(status_, 200);
  EXPECT_FALSE(folder_.has("backup.hef"));
  EXPECT_EQ(error("DELETE", "/api/delete", R"({"model": "backup"})"), "model 'backup' not found");
  EXPECT_EQ(status_, 404);
}

TEST_F(StoreRoutes, BlobsAreUploadedAndMadeModels) {
  const std::vector<std::byte> bytes = tiny_hef({}, 4);
  const std::string digest = "sha256:" + sha256_hex(bytes);
  const std::string path = "/api/blobs/" + digest;
  call("HEAD", path);
  EXPECT_EQ(status_, 404);
  call("HEAD", "/api/blobs/sha256:xyz");
  EXPECT_EQ(status_, 400);
  folder_.write("blobs/upload.tmp", "other bytes");
  EXPECT_THAT(call("POST", path, {}, folder_.path("blobs/upload.tmp")), HasSubstr("digest mismatch"));
  EXPECT_EQ(status_, 400);
  folder_.write("blobs/upload.tmp", bytes);
  call("POST", path, {}, folder_.path("blobs/upload.tmp"));
  EXPECT_EQ(status_, 201);
  call("HEAD", path);
  EXPECT_EQ(status_, 200);
  const std::string lines =
      call("POST", "/api/create", Json({{"model", "new"}, {"files", {{"x.hef", digest}}}}).dump());
  EXPECT_EQ(lines, "{\"status\":\"parsing HEF\"}\n{\"status\":\"using existing layer " + digest +
                       "\"}\n{\"status\":\"writing manifest\"}\n{\"status\":\"success\"}\n");
  EXPECT_EQ(store_.find("new")->digest, digest.substr(7));
  EXPECT_THAT(
      error("POST", "/api/create",
            Json({{"model", "new"}, {"files", {{"x", "sha256:" + std::string(64, '0')}}}, {"stream", false}}).dump()),
      HasSubstr("not found"));
  EXPECT_EQ(status_, 400);
}

TEST_F(StoreRoutes, CreateFromABaseAndAnAdapter) {
  const std::string body =
      R"({"model": "mario", "from": "demo", "lora": "a", "system": "Mario.", "license": ["MIT", "more"],)"
      R"( "parameters": {"temperature": 0.5, "stop": ["x"]}, "stream": false})";
  EXPECT_EQ(json("POST", "/api/create", body), Json({{"status", "success"}}));
  const Json shown = json("POST", "/api/show", R"({"model": "mario"})");
  EXPECT_EQ(shown["system"], "Mario.");
  EXPECT_EQ(shown["license"], "MIT\nmore");
  EXPECT_EQ(shown["details"]["parent_model"], "demo:latest");
  EXPECT_THAT(shown["parameters"].get<std::string>(), HasSubstr("temperature                    0.5\n"));
  EXPECT_EQ(store_.find("mario")->adapter, "a");
  EXPECT_EQ(pool_->acquire("mario")->adapter, 0);
  call("POST", "/api/create", R"({"model": "luigi", "from": "demo:a"})");
  EXPECT_EQ(store_.find("luigi")->adapter, "a");
  EXPECT_THAT(error("POST", "/api/create", R"({"model": "x", "from": "demo", "lora": "b"})"), HasSubstr("'b'"));
  EXPECT_EQ(error("POST", "/api/create", R"({"model": "x", "from": "y"})"), "model 'y' not found");
  EXPECT_EQ(error("POST", "/api/create", R"({"model": "x"})"), "neither 'from' or 'files' was specified");
  EXPECT_THAT(error("POST", "/api/create", R"({"model": "x", "from": "demo", "parameters": {"top_k": "many"}})"),
              HasSubstr("'parameters.top_k'"));
  EXPECT_THAT(error("POST", "/api/create", R"({"model": "x", "from": "demo", "adapters": {"a": "sha256:0"}})"),
              HasSubstr("'adapters'"));
  EXPECT_EQ(status_, 400);
}

TEST_F(StoreRoutes, PushAndPullWithoutARegistryAreRefused) {
  EXPECT_THAT(error("POST", "/api/push", R"({"model": "demo"})"), HasSubstr("push is not supported"));
  EXPECT_EQ(status_, 400);
  EXPECT_THAT(error("POST", "/api/pull", R"({"model": "demo"})"), HasSubstr("HOTARU_REGISTRY"));
  EXPECT_EQ(status_, 400);
  Router other;
  add_store_routes(other, *pool_, {"0.1.0", "http://127.0.0.1:9"});
  router_ = other;
  EXPECT_THAT(error("POST", "/api/pull", R"({"model": "demo"})"), HasSubstr("http://127.0.0.1:9/v2/library/demo"));
  EXPECT_EQ(status_, 500);
}

}  // namespace
}  // namespace hotaru::server
