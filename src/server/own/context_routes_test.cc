#include "server/own/context_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "base/file.h"
#include "server/http/recorded_exchange.h"
#include "server/own/description.h"
#include "server/reply/fake_model_pool.h"

namespace hotaru::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kContexts = "/hotaru/v1/contexts";

class Client {
 public:
  explicit Client(FakeModelPool& pool) { add_context_routes(router_, pool); }

  std::shared_ptr<RecordedExchange> send(const std::string& method, const std::string& path, const Json& body = {}) {
    const Router::Match match = router_.find(method, path);
    HttpRequest request;
    request.method = method;
    request.path = path;
    request.parameters = match.parameters;
    request.body = body.is_null() ? "" : body.dump();
    auto exchange = std::make_shared<RecordedExchange>(std::move(request));
    match.route->handler(exchange);
    return exchange;
  }
  // The answer, which must have this status.
  Json ask(int status, const std::string& method, const std::string& path, const Json& body = {}) {
    const auto exchange = send(method, path, body);
    EXPECT_EQ(exchange->response().status, status) << method << " " << path << " " << exchange->body();
    const std::string text = exchange->body();
    return text.empty() ? Json() : Json::parse(text);
  }
  std::string create(Json body = {{"model", "demo"}}) {
    const Json context = ask(201, "POST", kContexts, body);
    return fmt::format("{}/{}", kContexts, context["id"].get<std::string>());
  }
  Json show(const std::string& context) { return ask(200, "GET", context); }
  // What the assistant says to `content`.
  std::string chat(const std::string& context, const std::string& content, const Json& options = Json::object()) {
    const Json answer = ask(200, "POST", context + "/chat",
                            {{"messages", Json::array({{{"role", "user"}, {"content", content}}})},
                             {"stream", false},
                             {"options", options}});
    return answer["message"]["content"];
  }

 private:
  Router router_;
};

const Json kSeed = {{"seed", 7}, {"num_predict", 24}};

std::vector<std::string> contents(const Json& context) {
  std::vector<std::string> texts;
  for (const Json& message : context["messages"]) texts.push_back(message["content"]);
  return texts;
}

void wait_until(const std::function<bool()>& condition) {
  for (int i = 0; i < 3000 && !condition(); i++) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_TRUE(condition());
}

TEST(ContextRoutes, AContextLivesFromRequestToRequest) {
  FakeModelPool pool({.script = "Yes."});
  Client client(pool);
  const std::string context = client.create({{"model", "demo"}, {"system", "Be brief."}});
  EXPECT_EQ(pool.users, 1);
  EXPECT_EQ(client.chat(context, "One?"), "Yes.");
  EXPECT_EQ(client.chat(context, "Two?"), "Yes.");
  const Json shown = client.show(context);
  EXPECT_THAT(contents(shown), ElementsAre("One?", "Yes.", "Two?", "Yes."));
  EXPECT_EQ(shown["system"], "Be brief.");
  EXPECT_GT(shown["stored_tokens"], 0);
  const Json listed = client.ask(200, "GET", kContexts)["contexts"];
  ASSERT_EQ(listed.size(), 1U);
  EXPECT_EQ(listed[0]["id"], shown["id"]);
  EXPECT_FALSE(listed[0].contains("messages"));
  EXPECT_TRUE(contents(client.ask(200, "POST", context + "/clear")).empty());
  EXPECT_EQ(client.show(context)["system"], "Be brief.");
  client.ask(204, "DELETE", context);
  EXPECT_TRUE(pool.is_unused_soon());
  client.ask(404, "GET", context);
  client.ask(404, "DELETE", context);
  EXPECT_EQ(pool.device->contexts() - pool.engine->state().contexts, pool.device->contexts());
}

TEST(ContextRoutes, WhatIsSaidIsWhatTheWholeChatWouldSay) {
  FakeModelPool pool;
  Client client(pool);
  const std::string context = client.create();
  const std::string first = client.chat(context, "One?", kSeed);
  const std::string second = client.chat(context, "Two?", kSeed);
  // In a context of its own, with the whole chat at once.
  const std::string other = client.create();
  const Json messages = Json::array({{{"role", "user"}, {"content", "One?"}},
                                     {{"role", "assistant"}, {"content", first}},
                                     {{"role", "user"}, {"content", "Two?"}}});
  const Json answer =
      client.ask(200, "POST", other + "/chat", {{"messages", messages}, {"stream", false}, {"options", kSeed}});
  EXPECT_EQ(answer["message"]["content"], second);
}

TEST(ContextRoutes, ForksGoTheirOwnWays) {
  FakeModelPool pool;
  Client client(pool);
  const std::string context = client.create();
  client.chat(context, "One?", kSeed);
  const Json twin = client.ask(201, "POST", context + "/fork");
  const std::string other = fmt::format("{}/{}", kContexts, twin["id"].get<std::string>());
  EXPECT_NE(context, other);
  EXPECT_EQ(twin["messages"], client.show(context)["messages"]);
  const std::string said = client.chat(context, "Two?", kSeed);
  EXPECT_EQ(client.show(other)["messages"].size(), 2U);
  EXPECT_EQ(client.chat(other, "Two?", kSeed), said);
  client.ask(204, "DELETE", context);
  EXPECT_EQ(client.show(other)["messages"].size(), 4U);
}

TEST(ContextRoutes, ACutReplyGoesOnWithTheTokensItWouldHaveHad) {
  FakeModelPool pool;
  Client client(pool);
  const std::string whole = client.chat(client.create(), "One?", {{"seed", 7}, {"num_predict", 24}});
  const std::string context = client.create();
  client.ask(409, "POST", context + "/resume");
  std::string text = client.chat(context, "One?", {{"seed", 7}, {"num_predict", 10}});
  EXPECT_EQ(client.show(context)["can_resume"], true);
  const Json rest =
      client.ask(200, "POST", context + "/resume", {{"stream", false}, {"options", {{"num_predict", 14}}}});
  text += rest["message"]["content"].get<std::string>();
  EXPECT_EQ(text, whole);
  EXPECT_THAT(contents(client.show(context)), ElementsAre("One?", whole));
}

TEST(ContextRoutes, AClientThatLeavesCutsItsReplyAndMayResumeIt) {
  const Json endless = {{"messages", Json::array({{{"role", "user"}, {"content", "One?"}}})},
                        {"options", {{"seed", 3}, {"num_predict", 400}}}};
  FakeModelPool pool({.on_step = [] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }});
  Client client(pool);
  const std::string context = client.create();
  const auto exchange = client.send("POST", context + "/chat", endless);
  EXPECT_THAT(exchange->next_bytes(), HasSubstr("\"done\":false"));
  EXPECT_EQ(client.show(context)["is_busy"], true);
  for (const char* what : {"/chat", "/clear", "/fork", "/resume"}) {
    const Json answer = client.ask(409, "POST", context + what, Json::object());
    EXPECT_THAT(answer["error"], HasSubstr("a reply is being written")) << what;
  }
  client.ask(409, "POST", context + "/save", {{"name", "x"}});
  client.ask(409, "PATCH", context, {{"lora", "polite"}});
  exchange->leave();
  wait_until([&] { return client.show(context)["is_busy"] == false; });
  const Json shown = client.show(context);
  EXPECT_EQ(shown["can_resume"], true);
  ASSERT_EQ(shown["messages"].size(), 2U);
  EXPECT_NE(shown["messages"][1]["content"], "");
  client.ask(200, "POST", context + "/resume", {{"stream", false}, {"options", {{"num_predict", 5}}}});
  EXPECT_GT(contents(client.show(context))[1].size(), contents(shown)[1].size());
}

TEST(ContextRoutes, DeletedInMidReply) {
  FakeModelPool pool({.on_step = [] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }});
  Client client(pool);
  const std::string context = client.create();
  const auto exchange = client.send("POST", context + "/chat",
                                    {{"messages", Json::array({{{"role", "user"}, {"content", "One?"}}})},
                                     {"options", {{"num_predict", 30}, {"seed", 1}}}});
  exchange->next_bytes();
  client.ask(204, "DELETE", context);
  EXPECT_THAT(exchange->body(), HasSubstr("\"done\":true"));
  EXPECT_TRUE(pool.is_unused_soon());
}

TEST(ContextRoutes, SavedAndGoneOnWith) {
  FakeModelPool pool;
  Client client(pool);
  std::string context = client.create({{"model", "demo"}, {"lora", "polite"}, {"system", "Be brief."}});
  client.chat(context, "One?", kSeed);
  const Json before = client.show(context);
  const Json file = client.ask(200, "POST", context + "/save", {{"name", "mine"}});
  EXPECT_EQ(file["name"], "mine");
  EXPECT_EQ(client.ask(200, "GET", "/hotaru/v1/saved_contexts")["saved_contexts"], Json::array({file}));
  const std::string said = client.chat(context, "Two?", kSeed);
  client.ask(204, "DELETE", context);
  context = client.create({{"model", "demo"}, {"saved", "mine"}});
  const Json after = client.show(context);
  for (const char* field : {"model", "lora", "tokens", "stored_tokens", "system", "messages", "can_resume"}) {
    EXPECT_EQ(after[field], before[field]) << field;
  }
  EXPECT_EQ(client.chat(context, "Two?", kSeed), said);
  client.ask(204, "DELETE", "/hotaru/v1/saved_contexts/mine");
  client.ask(404, "DELETE", "/hotaru/v1/saved_contexts/mine");
  client.ask(404, "POST", kContexts, {{"model", "demo"}, {"saved", "mine"}});
  client.ask(400, "POST", kContexts, {{"model", "demo"}, {"saved", ""}});
  EXPECT_TRUE(client.ask(200, "GET", "/hotaru/v1/saved_contexts")["saved_contexts"].empty());
  for (const char* name : {"../x", ".x", "a/b", "a:b", ""}) {
    EXPECT_THAT(client.ask(400, "POST", context + "/save", {{"name", name}})["error"], HasSubstr("invalid name"));
  }
}

TEST(ContextRoutes, ADamagedFileIsTheServersFault) {
  FakeModelPool pool;
  Client client(pool);
  const std::string context = client.create();
  client.chat(context, "One?", kSeed);
  client.ask(200, "POST", context + "/save", {{"name", "mine"}});
  auto file = *OutputFile::create(pool.store().folder() + "/contexts/mine.context");
  ASSERT_TRUE(file.write(std::string_view("no context")));
  ASSERT_TRUE(file.commit());
  EXPECT_THAT(client.ask(500, "POST", kContexts, {{"model", "demo"}, {"saved", "mine"}})["error"], HasSubstr("mine"));
}

TEST(ContextRoutes, AnotherAdapterFromNowOn) {
  FakeModelPool pool;
  Client client(pool);
  const std::string context = client.create();
  client.chat(context, "One?", kSeed);
  EXPECT_EQ(client.ask(200, "PATCH", context, {{"lora", "polite"}})["lora"], "polite");
  const std::string polite = client.chat(context, "Two?", kSeed);
  EXPECT_EQ(client.ask(200, "PATCH", context, {{"lora", ""}})["lora"], "");
  EXPECT_THAT(client.ask(400, "PATCH", context, {{"lora", "rude"}})["error"], HasSubstr("rude"));
  EXPECT_THAT(client.ask(400, "PATCH", context, Json::object())["error"], HasSubstr("lora"));
  const std::string other = client.create({{"model", "demo:polite"}});
  EXPECT_EQ(client.show(other)["lora"], "polite");
}

TEST(ContextRoutes, Refusals) {
  FakeModelPool pool;
  Client client(pool);
  EXPECT_THAT(client.ask(400, "POST", kContexts, Json::object())["error"], HasSubstr("'model'"));
  client.ask(404, "POST", kContexts, {{"model", "nobody"}});
  client.ask(404, "POST", kContexts, {{"model", "demo"}, {"lora", "rude"}});
  EXPECT_TRUE(pool.is_unused_soon());
  const std::string context = client.create();
  EXPECT_THAT(client.ask(400, "POST", context + "/chat", {{"think", true}})["error"], HasSubstr("'think'"));
  EXPECT_THAT(client.ask(400, "POST", context + "/chat", {{"messages", 5}})["error"], HasSubstr("'messages'"));
  EXPECT_THAT(client.ask(400, "POST", context + "/chat", {{"options", {{"top_p", 7}}}})["error"], HasSubstr("top_p"));
  EXPECT_THAT(client.ask(400, "POST", context + "/chat", Json::object())["error"], HasSubstr("'messages'"));
  client.ask(404, "POST", "/hotaru/v1/contexts/ctx-none/chat", Json::object());
  EXPECT_EQ(client.show(context)["is_busy"], false);
}

TEST(ContextRoutes, AnswersAreAsDescribed) {
  FakeModelPool pool({.script = "Yes."});
  Client client(pool);
  const Json description = Json::parse(*read_text_file(std::string(HOTARU_SOURCE_DIR) + "/docs/openapi.json"));
  const auto fits = [&](const Json& answer, const std::string& path, const char* method, const char* status) {
    expect_fits(answer, answer_schema(description, path, method, status), description, path);
  };
  const std::string context = client.create();
  const std::string one = std::string(kContexts) + "/{id}";
  const Json chat = {{"messages", Json::array({{{"role", "user"}, {"content", "One?"}}})}, {"stream", false}};
  client.ask(200, "POST", context + "/chat", chat);
  fits(client.ask(201, "POST", kContexts, {{"model", "demo"}}), kContexts, "post", "201");
  fits(client.ask(200, "GET", kContexts), kContexts, "get", "200");
  fits(client.show(context), one, "get", "200");
  fits(client.ask(201, "POST", context + "/fork"), one + "/fork", "post", "201");
  fits(client.ask(200, "POST", context + "/save", {{"name", "mine"}}), one + "/save", "post", "200");
  fits(client.ask(200, "GET", "/hotaru/v1/saved_contexts"), "/hotaru/v1/saved_contexts", "get", "200");
  fits(client.ask(404, "GET", std::string(kContexts) + "/none"), one, "get", "404");
}

}  // namespace
}  // namespace hotaru::server
