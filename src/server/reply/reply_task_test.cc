#include "server/reply/reply_task.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "server/http/recorded_exchange.h"
#include "server/reply/fake_model_pool.h"
#include "server/request/errors.h"

namespace hotaru::server {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kHello = R"([{"role":"user","content":"Hello"}])";

// Text of all samples as it comes, then what ended them.
class PlainWriter final : public ReplyWriter {
 public:
  explicit PlainWriter(Start* start = nullptr, size_t padding = 0) : start_(start), padding_(padding, ' ') {}
  void on_start(const Start& start) override {
    if (start_ != nullptr) *start_ = start;
    whole_ = "";
  }
  std::string on_delta(const Delta& delta) override {
    return add(label(delta.sample) + delta.output.content + padding_);
  }
  std::string on_end(const End& end) override {
    return add(label(end.sample) + end.output.content + "|" +
               (end.error ? "error: " + end.error->message : std::string(reply_status_name(end.reply.status))) + "|");
  }
  std::string finish() override { return add("."); }
  HttpResponse response() override {
    HttpResponse response;
    response.body = whole_;
    return response;
  }

 private:
  static std::string label(int sample) { return sample == 0 ? "" : fmt::format("<{}>", sample); }
  std::string add(std::string text) {
    whole_ += text;
    return text;
  }
  Start* start_;
  const std::string padding_;  // behind every piece
  std::string whole_ = "never started";
};

EngineOptions engine_options(int queued, int running, int unread = 256) {
  EngineOptions options;
  options.queued_requests = queued;
  options.running_requests = running;
  options.unread_pieces = unread;
  return options;
}

ReplyTask chat_task(std::string_view messages = kHello) {
  ReplyTask task;
  task.model = "demo";
  task.sampling.seed = 7;
  ChatPrompt chat;
  chat.messages_json = messages;
  task.prompt = std::move(chat);
  return task;
}

std::shared_ptr<RecordedExchange> ask(FakeModelPool& pool, ReplyTask task, bool streams,
                                      ReplyWriter::Start* start = nullptr, size_t padding = 0) {
  auto exchange = RecordedExchange::make("POST", "/api/chat");
  ReplyDelivery delivery{.streams = streams, .content_type = "text/plain", .refuse = [](const Error& error) {
                           return error_response("/api/chat", error);
                         }};
  run_reply(pool, std::move(task), std::make_unique<PlainWriter>(start, padding), std::move(delivery), exchange);
  return exchange;
}

void wait_until(const std::function<bool()>& condition) {
  for (int i = 0; i < 3000 && !condition(); i++) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_TRUE(condition());
}

std::string refusal(FakeModelPool& pool, ReplyTask task, int status, bool streams = false) {
  const auto exchange = ask(pool, std::move(task), streams);
  EXPECT_EQ(exchange->response().status, status);
  EXPECT_FALSE(exchange->is_streamed());
  EXPECT_TRUE(pool.is_unused_soon());
  return exchange->body();
}

TEST(RunReply, OneAnswerAndAStreamSayTheSame) {
  FakeModelPool pool({.script = "Once upon a time."});
  EXPECT_EQ(ask(pool, chat_task(), false)->body(), "Once upon a time.|logical_end|.");
  const auto streamed = ask(pool, chat_task(), true);
  EXPECT_EQ(streamed->body(), "Once upon a time.|logical_end|.");
  EXPECT_TRUE(streamed->is_streamed());
  EXPECT_EQ(streamed->response().content_type, "text/plain");
  EXPECT_TRUE(pool.is_unused_soon());
}

TEST(RunReply, AGrammarHoldsWhateverTheModelWouldSay) {
  ReplyTask task = chat_task();
  task.grammar = {GrammarSpec::Kind::kJsonSchema,
                  R"({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"],
                      "additionalProperties": false})"};
  FakeModelPool talks({.script = R"({"a": 1} is what I think.)"});
  EXPECT_EQ(ask(talks, task, false)->body(), R"({"a": 1}|logical_end|.)");
  EXPECT_EQ(ask(talks, task, true)->body(), R"({"a": 1}|logical_end|.)");
  task.grammar->text = R"({"type": "array", "uniqueItems": true})";
  EXPECT_THAT(refusal(talks, task, 400), HasSubstr("uniqueItems"));
}

TEST(RunReply, AToolThatMustBeCalledIsCalled) {
  FakeModelPool pool({.script = "Hello", .chat_template = R"({# <tool_call> #}{{ '<|im_start|>assistant\n' }})"});
  ReplyTask task = chat_task();
  ChatPrompt& chat = std::get<ChatPrompt>(task.prompt);
  chat.variables_json = R"({"tools": [{"type": "function", "function": {"name": "now"}}]})";
  chat.has_tools = true;
  EXPECT_EQ(ask(pool, task, false)->body(), "Hello|logical_end|.");
  chat.tool_use = {.must_call = true, .calls_in_parallel = false};
  EXPECT_EQ(ask(pool, task, false)->body(), "|logical_end|.");  // this writer leaves out calls
  chat.tool_use.only = "then";
  EXPECT_THAT(refusal(pool, task, 400), HasSubstr("then"));
}

TEST(RunReply, TheModelIsFreeWhenTheAnswerIsThere) {
  FakeModelPool pool({.script = "Yes."});
  for (int i = 0; i < 50; i++) {
    ask(pool, chat_task(), false)->response();
    ASSERT_TRUE(pool.is_unused_soon());
  }
}

TEST(RunReply, TheSameSeedSaysWhatTheEngineSays) {
  FakeModelPool pool;
  ReplyTask task = chat_task();
  task.max_tokens = 20;
  ReplyWriter::Start start;
  const std::string body = ask(pool, task, true, &start)->body();
  GenerationRequest request;
  request.ids = *pool.engine->model().encode_chat(std::string(kHello));
  request.options.max_tokens = 20;
  request.options.stop_ids = {kEndOfTurn};
  request.options.sampling = resolve_sampling(task.sampling, pool.engine->model().defaults());
  EXPECT_EQ(start.prompt_ids, request.ids);
  EXPECT_EQ(start.prompt_tokens, static_cast<int>(request.ids.size()));
  const auto stream = *pool.engine->submit(request);
  while (!stream->read(std::chrono::seconds(10))->empty()) {
  }
  EXPECT_EQ(body, stream->result().text + "|max_tokens|.");
}

TEST(RunReply, APromptThatWasThereIsCounted) {
  FakeModelPool pool({.script = "Yes."});
  const std::string content(2000, 'a');
  const std::string messages = Json::array({{{"role", "user"}, {"content", content}}}).dump();
  ReplyWriter::Start start;
  ask(pool, chat_task(messages), false, &start)->body();
  EXPECT_EQ(start.reused_tokens, 0);
  ask(pool, chat_task(messages), false, &start)->body();
  EXPECT_GT(start.reused_tokens, start.prompt_tokens / 2);
}

TEST(RunReply, SeveralSamplesOfOnePrompt) {
  FakeModelPool pool;
  ReplyTask task = chat_task();
  task.max_tokens = 5;
  task.samples = 3;
  const std::string body = ask(pool, task, false)->body();
  EXPECT_THAT(body, AllOf(HasSubstr("<1>"), HasSubstr("<2>"), testing::EndsWith("|max_tokens|.")));
}

TEST(RunReply, RefusesBeforeAnythingIsSent) {
  FakeModelPool pool({.context_tokens = 64});
  ReplyTask task = chat_task();
  task.model = "nobody";
  EXPECT_EQ(refusal(pool, task, 404), R"({"error":"model 'nobody' not found"})");
  task.model = "demo:nobody";
  EXPECT_THAT(refusal(pool, task, 404), HasSubstr("nobody"));
  task = chat_task();
  task.lora = "nobody";
  EXPECT_THAT(refusal(pool, task, 404), HasSubstr("nobody"));
  task = chat_task();
  task.sampling.top_p = 2.0F;
  EXPECT_THAT(refusal(pool, task, 400, true), HasSubstr("top_p"));
  task = chat_task();
  task.prompt = TextPrompt{std::string(3000, 'x')};
  EXPECT_THAT(refusal(pool, task, 400, true), HasSubstr("want at most the 64 of the context"));
  task.prompt = IdsPrompt{{1, 4096}};
  EXPECT_THAT(refusal(pool, task, 400), HasSubstr("4096"));
  task = chat_task();
  std::get<ChatPrompt>(task.prompt).has_tools = true;
  EXPECT_THAT(refusal(pool, task, 400), HasSubstr("does not support tools"));
  task = chat_task();
  task.must_think = true;
  EXPECT_THAT(refusal(pool, task, 400), HasSubstr("does not support thinking"));
}

TEST(RunReply, AFullQueueIsSaidAtOnce) {
  FakeModelPool pool({.engine = engine_options(1, 1)});
  ReplyTask task = chat_task();
  task.samples = 4;
  EXPECT_THAT(refusal(pool, task, 503, true), HasSubstr("the queue is full"));
  EXPECT_TRUE(pool.engine->drain(std::chrono::seconds(1)));
  EXPECT_THAT(refusal(pool, chat_task(), 503, true), HasSubstr("no more requests"));
}

TEST(RunReply, AnErrorInMidStreamIsTheWritersAndOtherwiseAStatus) {
  FakeModelPool pool({.context_tokens = 40});
  ReplyTask task = chat_task();
  task.when_full = WhenFull::kError;
  const auto streamed = ask(pool, task, true);
  EXPECT_EQ(streamed->response().status, 200);
  EXPECT_THAT(streamed->body(), HasSubstr("|error: the context is full"));
  EXPECT_THAT(refusal(pool, task, 503), HasSubstr("the context is full"));
}

TEST(RunReply, AClientThatLeavesFreesItsPlaceWithinOneToken) {
  std::atomic<int> steps = 0;
  FakeModelPool pool({.on_step = [&] {
    steps++;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }});
  for (const bool streams : {true, false}) {
    ReplyTask task = chat_task();
    task.sampling.logit_bias = {{kEndOfTurn, -100.0F}};
    const auto exchange = ask(pool, task, streams);
    if (streams) {
      exchange->next_bytes();
    } else {
      wait_until([&] { return pool.engine->state().running_requests == 1; });
    }
    EXPECT_EQ(pool.users, 1);
    exchange->leave();
    wait_until([&] { return pool.users == 0 && pool.engine->state().running_requests == 0; });
    const int then = steps;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_LE(steps - then, 1);
  }
}

TEST(RunReply, AClientThatHasLeftIsNotServed) {
  FakeModelPool pool({.script = "Yes."});
  const auto exchange = RecordedExchange::make("POST", "/api/chat");
  exchange->leave();
  run_reply(pool, chat_task(), std::make_unique<PlainWriter>(), {.streams = true, .content_type = "", .refuse = {}},
            exchange);
  EXPECT_TRUE(pool.is_unused_soon());
  EXPECT_FALSE(exchange->has_answer());
}

TEST(RunReply, ASlowReaderHoldsUpItsOwnReplyOnly) {
  FakeModelPool pool({.engine = engine_options(8, 2, 16)});
  ReplyTask task = chat_task();
  task.sampling.logit_bias = {{kEndOfTurn, -100.0F}};
  task.max_tokens = 400;
  const auto slow = ask(pool, task, true, nullptr, 1024);
  slow->response();
  // It comes to rest although nobody reads, far from its end: 64 KiB and 16 pieces.
  int before = -1;
  wait_until([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const int now = pool.device->stepped_tokens();
    return std::exchange(before, now) == now;
  });
  EXPECT_LT(before, 200);
  ReplyTask other = chat_task();
  other.max_tokens = 8;
  EXPECT_THAT(ask(pool, other, false)->body(), HasSubstr("|max_tokens|"));
  EXPECT_THAT(slow->body(), HasSubstr("|max_tokens|."));
  EXPECT_GE(pool.device->stepped_tokens(), 400);
}

TEST(RunReply, AMadeModelSpeaksWhereTheTaskIsSilent) {
  FakeModelPool pool({.script = "One two three four five."});
  pool.stored.system = "Be brief.";
  pool.stored.parameters = {{"num_predict", 3}, {"stop", {"zzz"}}, {"seed", 5}};
  ReplyWriter::Start start;
  EXPECT_THAT(ask(pool, chat_task(), false, &start)->body(), HasSubstr("|max_tokens|"));
  const auto ids_of = [&](const std::string& json) { return *pool.engine->model().encode_chat(json); };
  EXPECT_EQ(start.prompt_ids, ids_of(R"([{"role":"system","content":"Be brief."},{"role":"user","content":"Hello"}])"));
  // The task's own word.
  ReplyTask task = chat_task(R"([{"role":"system","content":"Talk."},{"role":"user","content":"Hello"}])");
  task.max_tokens = 100;
  EXPECT_EQ(ask(pool, task, false, &start)->body(), "One two three four five.|logical_end|.");
  EXPECT_EQ(start.prompt_ids, ids_of(R"([{"role":"system","content":"Talk."},{"role":"user","content":"Hello"}])"));
  // Its template.
  pool.stored.system = "";
  pool.stored.chat_template = "{{ messages[0].content }} <|im_start|>assistant";
  ask(pool, task, false, &start)->body();
  EXPECT_EQ(start.prompt_ids, *pool.engine->model().encode_more_text("Talk. <|im_start|>assistant"));
  task.chat_template = "{{ messages";
  EXPECT_THAT(refusal(pool, task, 400), HasSubstr("template"));
  pool.stored.parameters = {{"num_predict", "many"}};
  EXPECT_THAT(refusal(pool, chat_task(), 400), HasSubstr("parameters.num_predict"));
}

TEST(RunReply, GoesOnWithABegunReplyAndBehindOtherIds) {
  FakeModelPool pool({.script = "Once upon a time."});
  ReplyTask task = chat_task(R"([{"role":"user","content":"Hello"},{"role":"assistant","content":"Once upon"}])");
  std::get<ChatPrompt>(task.prompt).continues_last = true;
  EXPECT_EQ(ask(pool, task, false)->body(), " a time.|logical_end|.");
  task = chat_task();
  task.ids_before = {5, 6};
  ReplyWriter::Start start;
  ask(pool, task, false, &start)->body();
  std::vector<int32_t> ids = *pool.engine->model().encode_chat(std::string(kHello));
  ids.insert(ids.begin(), {5, 6});
  EXPECT_EQ(start.prompt_ids, ids);
}

// Nothing to see but that it ends, and what a thread sanitizer sees.
TEST(RunReply, ClientsThatLeaveAtAnyMoment) {
  FakeModelPool pool({.script = "Once upon a time there was a little cat.", .engine = engine_options(200, 4)});
  std::vector<std::thread> clients;
  for (int client = 0; client < 4; client++) {
    clients.emplace_back([&pool, client] {
      for (int i = 0; i < 40; i++) {
        const auto exchange = ask(pool, chat_task(), (i + client) % 2 == 0);
        std::this_thread::sleep_for(std::chrono::microseconds(i * client * 37 % 1500));
        if (i % 4 == 3) {
          EXPECT_EQ(exchange->body(), "Once upon a time there was a little cat.|logical_end|.");
        } else {
          exchange->leave();
        }
      }
    });
  }
  for (std::thread& client : clients) client.join();
  wait_until([&] { return pool.users == 0; });
  EXPECT_TRUE(pool.engine->drain(std::chrono::seconds(20)));
}

}  // namespace
}  // namespace hotaru::server
