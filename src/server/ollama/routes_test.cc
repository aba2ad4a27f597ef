#include "server/ollama/routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <sstream>

#include "server/http/recorded_exchange.h"
#include "server/ollama/reply_writer.h"
#include "server/reply/fake_model_pool.h"

namespace hotaru::server {
namespace {

using testing::AllOf;
using testing::HasSubstr;

std::shared_ptr<RecordedExchange> post(FakeModelPool& pool, const std::string& path, const std::string& body) {
  Router router;
  add_ollama_routes(router, pool);
  const Router::Match match = router.find("POST", path);
  auto exchange = RecordedExchange::make("POST", path, body);
  match.route->handler(exchange);
  return exchange;
}

// What differs from one run to the next, by a name of its kind.
std::string without_chance(std::string text) {
  text = std::regex_replace(text, std::regex(R"("\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z")"), "TIME");
  text = std::regex_replace(text, std::regex(R"x(("[a-z_]*duration":)\d+)x"), "$1NS");
  return std::regex_replace(text, std::regex(R"("call_[a-z0-9]{8}")"), "CALL");
}

std::string answer(FakeModelPool& pool, const std::string& path, const std::string& body, int status = 200) {
  const auto exchange = post(pool, path, body);
  EXPECT_EQ(exchange->response().status, status) << exchange->response().body;
  return without_chance(exchange->body());
}

std::vector<Json> lines_of(const std::string& body) {
  std::vector<Json> lines;
  std::istringstream stream(body);
  for (std::string line; std::getline(stream, line);) lines.push_back(*parse_json(line, "line"));
  return lines;
}

TEST(OllamaGenerate, InOnePiece) {
  FakeModelPool pool({.script = "Once upon a time."});
  const std::string body = answer(pool, "/api/generate", R"({"model":"demo","prompt":"Hi","stream":false,"raw":true})");
  EXPECT_EQ(body,
            R"({"model":"demo","created_at":TIME,"response":"","done":true,"done_reason":"stop","total_duration":NS,)"
            R"("load_duration":NS,"prompt_eval_count":2,"prompt_eval_duration":NS,"eval_count":1,"eval_duration":NS})");
  const Json whole =
      lines_of(post(pool, "/api/generate", R"({"model":"demo:latest","prompt":"Hi","stream":false})")->body()).front();
  EXPECT_EQ(whole["model"], "demo:latest");
  EXPECT_EQ(whole["response"], "Once upon a time.");
  EXPECT_EQ(whole["context"].size(), whole["prompt_eval_count"].get<size_t>() + whole["eval_count"].get<size_t>());
}

TEST(OllamaGenerate, StreamsLinesByDefault) {
  FakeModelPool pool({.script = "Hello you"});
  const auto exchange = post(pool, "/api/generate", R"({"model":"demo","prompt":"Hi","options":{"seed":1}})");
  EXPECT_EQ(exchange->response().content_type, "application/x-ndjson");
  const std::string body = exchange->body();
  EXPECT_EQ(body.back(), '\n');
  std::string text;
  const std::vector<Json> lines = lines_of(body);
  for (const Json& line : lines) {
    text += line["response"];
    EXPECT_EQ(line["done"], &line == &lines.back());
  }
  EXPECT_EQ(text, "Hello you");
  EXPECT_GT(lines.size(), 2U);
  EXPECT_EQ(without_chance(body.substr(0, body.find('\n'))), R"({"model":"demo","created_at":TIME,"response":")" +
                                                                 lines[0]["response"].get<std::string>() +
                                                                 R"(","done":false})");
  EXPECT_EQ(lines.back()["done_reason"], "stop");
  EXPECT_TRUE(lines.back().contains("context"));
}

TEST(OllamaGenerate, ContextGoesInFront) {
  FakeModelPool pool({.script = "Yes."});
  const Json first =
      lines_of(post(pool, "/api/generate", R"({"model":"demo","prompt":"Hi","stream":false})")->body())[0];
  const Json request = {{"model", "demo"}, {"prompt", "More"}, {"stream", false}, {"context", first["context"]}};
  const Json second = lines_of(post(pool, "/api/generate", request.dump())->body())[0];
  EXPECT_GT(second["prompt_eval_count"].get<size_t>(), first["context"].size());
  EXPECT_TRUE(std::equal(first["context"].begin(), first["context"].end(), second["context"].begin()));
}

TEST(OllamaGenerate, SystemTemplateAndLength) {
  FakeModelPool pool({.script = "One two three four."});
  const auto count = [&](const std::string& more) {
    const std::string body = R"({"model":"demo","prompt":"Hi","stream":false,"options":{"num_predict":2})" + more + "}";
    const Json json = lines_of(post(pool, "/api/generate", body)->body())[0];
    EXPECT_EQ(json["done_reason"], "length");
    EXPECT_EQ(json["eval_count"], 2);
    return json["prompt_eval_count"].get<int>();
  };
  const int plain = count("");
  EXPECT_GT(count(R"(,"system":"Be brief.")"), plain);
  EXPECT_LT(count(R"(,"template":"{{ messages[-1].content }}<|im_start|>assistant{{ '\n' }}")"), plain);
}

TEST(OllamaGenerate, AnEmptyPromptLoadsAndUnloads) {
  FakeModelPool pool;
  EXPECT_EQ(answer(pool, "/api/generate", R"({"model":"demo"})"),
            R"({"model":"demo","created_at":TIME,"response":"","done":true,"done_reason":"load"})");
  EXPECT_EQ(pool.last_keep_alive, std::nullopt);
  EXPECT_EQ(answer(pool, "/api/chat", R"({"model":"demo","messages":[],"keep_alive":60})"),
            R"({"model":"demo","created_at":TIME,"message":{"role":"assistant","content":""},"done":true,)"
            R"("done_reason":"load"})");
  EXPECT_EQ(pool.last_keep_alive, std::chrono::seconds(60));
  EXPECT_THAT(answer(pool, "/api/generate", R"({"model":"nobody"})", 404), HasSubstr("model 'nobody' not found"));
  EXPECT_THAT(answer(pool, "/api/generate", R"({"model":"nobody","keep_alive":0})", 404), HasSubstr("not found"));
  EXPECT_TRUE(pool.unloaded.empty());
}

TEST(OllamaChat, InOnePieceAndAsLines) {
  FakeModelPool pool({.script = "Hello you"});
  const std::string messages = R"("messages":[{"role":"user","content":"Hi"}])";
  EXPECT_EQ(answer(pool, "/api/chat", R"({"model":"demo","stream":false,)" + messages + "}"),
            R"({"model":"demo","created_at":TIME,"message":{"role":"assistant","content":"Hello you"},"done":true,)"
            R"("done_reason":"stop","total_duration":NS,"load_duration":NS,"prompt_eval_count":13,)"
            R"("prompt_eval_duration":NS,"eval_count":5,"eval_duration":NS})");
  const std::vector<Json> lines = lines_of(post(pool, "/api/chat", R"({"model":"demo",)" + messages + "}")->body());
  std::string text;
  for (const Json& line : lines) {
    EXPECT_EQ(line["message"]["role"], "assistant");
    text += line["message"]["content"];
  }
  EXPECT_EQ(text, "Hello you");
  EXPECT_FALSE(lines.back().contains("context"));
}

TEST(OllamaChat, GoesOnWithTheAssistantsBeginning) {
  FakeModelPool pool({.script = "Hello you"});
  const std::string body = answer(pool, "/api/chat",
                                  R"({"model":"demo","stream":false,"messages":[{"role":"user","content":"Hi"},)"
                                  R"({"role":"assistant","content":"Hello"}]})");
  EXPECT_THAT(body, HasSubstr(R"("content":" you")"));
}

TEST(OllamaChat, LogprobsOfEachToken) {
  FakeModelPool pool({.script = "Hello you"});
  const std::string request =
      R"("model":"demo","messages":[{"role":"user","content":"Hi"}],"logprobs":true,"top_logprobs":2)";
  const Json whole = lines_of(post(pool, "/api/chat", "{" + request + R"(,"stream":false})")->body())[0];
  std::string text;
  for (const Json& token : whole["logprobs"]) {
    EXPECT_NEAR(token["logprob"].get<double>(), 0.0, 1e-6);  // the fake is sure
    EXPECT_EQ(token["top_logprobs"].size(), 2U);
    EXPECT_EQ(token["top_logprobs"][0]["token"], token["token"]);
    for (const Json& byte : token["bytes"]) text += static_cast<char>(byte.get<int>());
  }
  EXPECT_EQ(text, "Hello you");
  size_t count = 0;
  for (const Json& line : lines_of(post(pool, "/api/chat", "{" + request + "}")->body())) {
    if (line.contains("logprobs")) count += line["logprobs"].size();
  }
  EXPECT_EQ(count, whole["logprobs"].size());
  EXPECT_FALSE(
      lines_of(post(pool, "/api/chat", R"({"model":"demo","stream":false,"messages":[{"role":"user"}]})")->body())[0]
          .contains("logprobs"));
}

ReplyWriter::Delta delta_of(ReplyParts::Output output) {
  ReplyWriter::Delta delta;
  delta.output = std::move(output);
  return delta;
}

OllamaReplyWriter writer_of(OllamaReplyWriter::Kind kind, bool streams) {
  return OllamaReplyWriter({.kind = kind,
                            .model = "m",
                            .streams = streams,
                            .wants_context = false,
                            .has_logprobs = false,
                            .received = std::chrono::steady_clock::now()});
}

TEST(OllamaWriter, ThinkingAndCallsHaveTheirFields) {
  const ReplyParts::Output thinking{.thinking = "Hm.", .content = "", .calls = {}};
  const ReplyParts::Output call{.thinking = "", .content = "", .calls = {{"f", R"({"b":1,"a":[2]})"}}};
  OllamaReplyWriter stream = writer_of(OllamaReplyWriter::Kind::kChat, true);
  stream.on_start({});
  EXPECT_EQ(
      without_chance(stream.on_delta(delta_of(thinking))),
      R"({"model":"m","created_at":TIME,"message":{"role":"assistant","content":"","thinking":"Hm."},"done":false})"
      "\n");
  EXPECT_EQ(stream.on_delta(delta_of({})), "");
  EXPECT_EQ(without_chance(stream.on_delta(delta_of(call))),
            R"({"model":"m","created_at":TIME,"message":{"role":"assistant","content":"","tool_calls":[{"id":CALL,)"
            R"("function":{"index":0,"name":"f","arguments":{"b":1,"a":[2]}}}]},"done":false})"
            "\n");
  EXPECT_THAT(stream.on_delta(delta_of(call)), HasSubstr(R"("index":1)"));
  ReplyWriter::End end;
  end.output.content = "rest";
  const std::vector<Json> lines = lines_of(stream.on_end(end));
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0]["message"]["content"], "rest");
  EXPECT_EQ(lines[1]["message"]["content"], "");
  EXPECT_EQ(lines[1]["done_reason"], "stop");

  OllamaReplyWriter whole = writer_of(OllamaReplyWriter::Kind::kGenerate, false);
  whole.on_start({});
  EXPECT_EQ(whole.on_delta(delta_of(thinking)), "");
  whole.on_delta(delta_of(call));
  whole.on_end(end);
  EXPECT_THAT(without_chance(whole.response().body),
              testing::StartsWith(R"({"model":"m","created_at":TIME,"response":"rest","thinking":"Hm.","tool_calls":[)"
                                  R"({"id":CALL,"function":{"index":0,"name":"f","arguments":{"b":1,"a":[2]}}}],)"
                                  R"("done":true,"done_reason":"stop")"));
}

TEST(OllamaWriter, AnErrorInMidStreamIsALine) {
  OllamaReplyWriter stream = writer_of(OllamaReplyWriter::Kind::kChat, true);
  stream.on_start({});
  ReplyWriter::End end;
  end.error = invalid("broken");
  EXPECT_EQ(stream.on_end(end), "{\"error\":\"broken\"}\n");
}

double length_of(const Json& vector) {
  double squares = 0.0;
  for (const Json& value : vector) squares += value.get<double>() * value.get<double>();
  return std::sqrt(squares);
}

TEST(OllamaEmbed, OneVectorForEachText) {
  FakeModelPool pool({.context_tokens = 64});
  const auto embed = [&](const std::string& fields) {
    const auto exchange = post(pool, "/api/embed", R"({"model":"demo",)" + fields + "}");
    EXPECT_EQ(exchange->response().status, 200);
    return lines_of(exchange->body())[0];
  };
  const Json one = embed(R"("input":"a dog")");
  const Json two = embed(R"("input":["a dog","rain"])");
  ASSERT_EQ(two["embeddings"].size(), 2U);
  EXPECT_EQ(one["embeddings"][0], two["embeddings"][0]);
  EXPECT_NE(two["embeddings"][0], two["embeddings"][1]);
  EXPECT_NEAR(length_of(one["embeddings"][0]), 1.0, 1e-5);
  EXPECT_GT(two["prompt_eval_count"], one["prompt_eval_count"]);
  EXPECT_THAT(without_chance(one.dump()), HasSubstr(R"(,"total_duration":NS,"load_duration":NS,"prompt_eval_count":)"));
  const Json shorter = embed(R"("input":"a dog","dimensions":3)")["embeddings"][0];
  EXPECT_EQ(shorter.size(), 3U);
  EXPECT_NEAR(length_of(shorter), 1.0, 1e-5);
  EXPECT_EQ(embed(R"("input":"")")["embeddings"], Json::array());
  EXPECT_EQ(embed(R"("input":[])")["embeddings"], Json::array());
  const Json old = lines_of(answer(pool, "/api/embeddings", R"({"model":"demo","prompt":"a dog"})"))[0];
  EXPECT_EQ(old.dump(), Json({{"embedding", one["embeddings"][0]}}).dump());
  // Longer than the context: cut, or refused.
  const std::string text(500, 'x');
  EXPECT_EQ(embed(R"("input":")" + text + "\"")["prompt_eval_count"], 64);
  EXPECT_THAT(answer(pool, "/api/embed", R"({"model":"demo","truncate":false,"input":")" + text + "\"}", 400),
              HasSubstr("want at most the 64 of the context"));
  EXPECT_THAT(answer(pool, "/api/embed", R"({"model":"nobody","input":"a"})", 404), HasSubstr("not found"));
  EXPECT_THAT(answer(pool, "/api/embed", R"({"model":"demo","input":[5]})", 400), HasSubstr("'input[0]'"));
  EXPECT_THAT(answer(pool, "/api/embed", R"({"model":"demo","dimensions":"few"})", 400), HasSubstr("'dimensions'"));
  EXPECT_TRUE(pool.is_unused_soon());
}

TEST(OllamaErrors, NameTheField) {
  FakeModelPool pool;
  const auto error_of = [&](const std::string& path, const std::string& fields) {
    const std::string body = R"({"model":"demo")" + (fields.empty() ? "" : "," + fields) + "}";
    return lines_of(answer(pool, path, body, 400))[0]["error"].get<std::string>();
  };
  const auto generate = [&](const std::string& fields) { return error_of("/api/generate", fields); };
  const auto chat = [&](const std::string& fields) { return error_of("/api/chat", fields); };
  EXPECT_THAT(answer(pool, "/api/chat", "", 400), HasSubstr("request body"));
  EXPECT_THAT(answer(pool, "/api/chat", "{}", 400), HasSubstr("'model'"));
  EXPECT_THAT(answer(pool, "/api/chat", R"({"model":5})", 400), HasSubstr("'model'"));
  EXPECT_THAT(generate(R"("prompt":5)"), HasSubstr("'prompt': got 5"));
  EXPECT_THAT(generate(R"("prompt":"a","stream":"no")"), HasSubstr("'stream'"));
  EXPECT_THAT(generate(R"("suffix":"b")"), HasSubstr("'suffix'"));
  EXPECT_THAT(generate(R"("images":["aGk="])"), HasSubstr("'images'"));
  EXPECT_THAT(generate(R"("context":[1,"x"])"), HasSubstr("'context[1]'"));
  EXPECT_THAT(generate(R"("prompt":"a","raw":true,"system":"b")"), HasSubstr("raw mode does not support"));
  EXPECT_THAT(generate(R"("format":"xml")"), HasSubstr("'format'"));
  EXPECT_THAT(generate(R"("think":"hard")"), HasSubstr("'think'"));
  EXPECT_THAT(generate(R"("prompt":"a","think":true)"), HasSubstr("does not support thinking"));
  EXPECT_THAT(generate(R"("top_logprobs":21)"), HasSubstr("'top_logprobs'"));
  EXPECT_THAT(generate(R"("keep_alive":{})"), HasSubstr("'keep_alive'"));
  EXPECT_THAT(generate(R"("options":3)"), HasSubstr("'options'"));
  EXPECT_THAT(generate(R"("options":{"stop":[1]})"), HasSubstr("'options.stop[0]'"));
  for (const char* name : {"num_ctx", "num_predict", "num_keep", "seed", "top_k", "repeat_last_n", "num_thread"}) {
    EXPECT_THAT(generate(fmt::format(R"("options":{{"{}":"many"}})", name)),
                HasSubstr(fmt::format("'options.{}'", name)));
  }
  for (const char* name : {"temperature", "top_p", "min_p", "repeat_penalty", "presence_penalty", "typical_p"}) {
    EXPECT_THAT(generate(fmt::format(R"("options":{{"{}":true}})", name)),
                HasSubstr(fmt::format("'options.{}'", name)));
  }
  EXPECT_THAT(chat(R"("messages":{})"), HasSubstr("'messages'"));
  EXPECT_THAT(chat(R"("messages":[5])"), HasSubstr("'messages[0]'"));
  EXPECT_THAT(chat(R"("messages":[{"role":"user","content":["a"]}])"), HasSubstr("'messages[0].content'"));
  EXPECT_THAT(chat(R"("messages":[{"role":"user","images":["aGk="]}])"), HasSubstr("'messages[0].images'"));
  EXPECT_THAT(chat(R"("messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"x"}}]}])"),
              HasSubstr("'messages[0].tool_calls[0].function.arguments'"));
  EXPECT_THAT(chat(R"("tools":[{"type":"function","function":{}}])"), HasSubstr("'tools[0].function.name'"));
  EXPECT_TRUE(pool.is_unused_soon());
}

TEST(OllamaErrors, NullIsAsAbsentAndTheUnknownIsPassedOver) {
  FakeModelPool pool({.script = "Yes."});
  Json request = {
      {"model", "demo"}, {"prompt", "Hi"}, {"nonsense", 5}, {"options", {{"mirostat", 2}, {"seed", nullptr}}}};
  for (const char* name : {"suffix", "system", "template", "context", "stream", "raw", "format", "keep_alive", "images",
                           "think", "truncate", "shift", "logprobs", "top_logprobs"}) {
    request[name] = nullptr;
  }
  EXPECT_EQ(lines_of(post(pool, "/api/generate", request.dump())->body()).back()["done_reason"], "stop");
}

TEST(OllamaChat, AFullContextEndsTheReply) {
  FakeModelPool pool({.context_tokens = 64});
  const std::string messages = R"("messages":[{"role":"user","content":"Hi"}],"options":{"seed":1,"num_predict":100})";
  const Json cut = lines_of(post(pool, "/api/chat", R"({"model":"demo",)" + messages + "}")->body()).back();
  EXPECT_EQ(cut["done_reason"], "length");
  EXPECT_LT(cut["eval_count"], 64);
  const std::string shifts = R"({"model":"demo","shift":true,)" + messages + "}";
  EXPECT_EQ(lines_of(post(pool, "/api/chat", shifts)->body()).back()["eval_count"], 100);
}

}  // namespace
}  // namespace hotaru::server
