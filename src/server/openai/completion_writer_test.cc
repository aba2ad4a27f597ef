#include "server/openai/completion_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/openai/event_stream_reader.h"
#include "server/openai/played_reply.h"

namespace hotaru::server {
namespace {

CompletionAnswer answer_of(bool streams) {
  CompletionAnswer answer;
  answer.id = "cmpl-1";
  answer.created = 1700000000;
  answer.model = "demo";
  answer.streams = streams;
  return answer;
}
RawPrompt text(std::string prompt) { return TextPrompt{std::move(prompt)}; }
Json choices_of(const HttpResponse& response) { return Json::parse(response.body)["choices"]; }

ReplyWriter::Delta scored(std::string_view token, float logprob, std::vector<TokenLogprob> top = {}) {
  ReplyWriter::Delta delta;
  delta.piece.id = token_of(token);
  delta.piece.text = token;
  delta.piece.logprob = logprob;
  delta.piece.top = std::move(top);
  return delta;
}

TEST(CompletionWriter, AnswersInOnePiece) {
  CompletionWriter writer(answer_of(false), text("Once"));
  PlayedReply played(writer);
  EXPECT_EQ(played.says(" upon").ends(ReplyStatus::kMaxTokens).response().body,
            R"({"id":"cmpl-1","object":"text_completion","created":1700000000,"model":"demo",)"
            R"("system_fingerprint":"fp_hotaru","choices":[{"text":" upon","index":0,"logprobs":null,)"
            R"("finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":1,"total_tokens":6,)"
            R"("prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":0}}})");
}

TEST(CompletionWriter, Streams) {
  CompletionAnswer answer = answer_of(true);
  answer.includes_usage = true;
  answer.echoes = true;
  CompletionWriter writer(answer, text("Once"));
  PlayedReply played(writer);
  const auto events = read_events(played.says(" upon").says(" a").ends().stream());
  ASSERT_EQ(events.size(), 6U);
  EXPECT_EQ(events[0].data["choices"][0].dump(), R"({"text":"Once","index":0,"logprobs":null,"finish_reason":null})");
  EXPECT_EQ(events[1].data["choices"][0]["text"], " upon");
  EXPECT_EQ(events[3].data["choices"][0].dump(), R"({"text":"","index":0,"logprobs":null,"finish_reason":"stop"})");
  EXPECT_TRUE(events[3].data["usage"].is_null());
  EXPECT_TRUE(events[4].data["choices"].empty());
  EXPECT_EQ(events[4].data["usage"]["total_tokens"], 7);
  EXPECT_EQ(events[5].data, "[DONE]");
}

TEST(CompletionWriter, IdsAreEchoedAsText) {
  CompletionAnswer answer = answer_of(false);
  answer.echoes = true;
  const auto ids = *demo_language_model().tokenizer()->encode("Once upon");
  CompletionWriter writer(answer, IdsPrompt{ids});
  PlayedReply played(writer);
  EXPECT_EQ(choices_of(played.says(" a").ends().response())[0]["text"], "Once upon a");
}

TEST(CompletionWriter, Logprobs) {
  CompletionAnswer answer = answer_of(false);
  answer.logprobs = 1;
  CompletionWriter writer(answer, text("Zoë"));
  PlayedReply played(writer);
  const Json logprobs = choices_of(played.plays(scored(" the", -0.5F, {{token_of(" a"), -0.25F}}))
                                       .plays(scored(" a", -0.125F, {{token_of(" a"), -0.125F}}))
                                       .ends()
                                       .response())[0]["logprobs"];
  EXPECT_EQ(logprobs.dump(), R"({"tokens":[" the"," a"],"token_logprobs":[-0.5,-0.125],)"
                             R"("top_logprobs":[{" a":-0.25," the":-0.5},{" a":-0.125}],"text_offset":[3,7]})");
}

TEST(CompletionWriter, TheLikeliestAreKept) {
  CompletionAnswer answer = answer_of(false);
  answer.samples = 3;
  answer.choices = 2;
  CompletionWriter writer(answer, text("x"));
  PlayedReply played(writer);
  const auto response = played.plays(scored("a", -3), 0)
                            .plays(scored("b", -1), 1)
                            .plays(scored("c", -1), 2)
                            .plays(scored("c", -2), 2)
                            .ends({}, 0)
                            .ends({}, 1)
                            .ends({}, 2)
                            .response();
  const Json choices = choices_of(response);
  ASSERT_EQ(choices.size(), 2U);
  EXPECT_EQ(choices[0]["text"], "b");
  EXPECT_EQ(choices[1]["text"], "cc");
  EXPECT_EQ(Json::parse(response.body)["usage"]["completion_tokens"], 4);
}

TEST(CompletionWriter, ErrorsAreNeverASuccess) {
  CompletionWriter writer(answer_of(false), text("x"));
  PlayedReply played(writer);
  EXPECT_EQ(played.fails({ErrorKind::kNoMemory, "full"}).response().status, 503);
  CompletionWriter streamer(answer_of(true), text("x"));
  PlayedReply streamed(streamer);
  const auto events = read_events(streamed.fails({ErrorKind::kNoMemory, "full"}).stream());
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].data["error"]["message"], "full");
}

CompletionPart part_of(std::string prompt, std::string text) {
  CompletionPart part;
  part.prompt = std::move(prompt);
  part.prompt_tokens = 3;
  part.tokens = 1;
  part.choices.push_back({std::move(text), nullptr, "length"});
  return part;
}

TEST(CompletionResponse, JoinsPrompts) {
  const Json body = Json::parse(completion_response(answer_of(false), {part_of("a", "1"), part_of("b", "2")}).body);
  EXPECT_EQ(body["choices"][1].dump(), R"({"text":"b2","index":1,"logprobs":null,"finish_reason":"length"})");
  EXPECT_EQ(body["usage"]["prompt_tokens"], 6);
  EXPECT_EQ(body["usage"]["completion_tokens"], 2);

  CompletionAnswer answer = answer_of(true);
  answer.includes_usage = true;
  const HttpResponse stream = completion_response(answer, {part_of("a", "1"), part_of("b", "2")});
  EXPECT_EQ(stream.content_type, "text/event-stream");
  const auto events = read_events(stream.body);
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[1].data["choices"][0]["index"], 1);
  EXPECT_EQ(events[2].data["usage"]["total_tokens"], 8);
}

TEST(CompletionLogprobs, APromptsFirstTokenHasNone) {
  CompletionLogprobs logprobs(0, true);
  const LanguageModel& model = demo_language_model();
  logprobs.add(model, token_of("O"), {}, {});
  logprobs.add(model, token_of(" the"), -1.0, {{token_of(" a"), -0.5F}});
  Json all = logprobs.take();
  CompletionLogprobs more(8, true);
  more.add(model, token_of(" a"), -2.0, {{token_of(" a"), -2.0F}});
  append_logprobs(all, more.take());
  EXPECT_EQ(all.dump(), R"({"tokens":["O"," the"," a"],"token_logprobs":[null,-1.0,-2.0],)"
                        R"("top_logprobs":[null,{" a":-0.5," the":-1.0},{" a":-2.0}],"text_offset":[0,1,8]})");
}

TEST(CompletionLogprobs, PartsOfCharactersAreWrittenAsBytes) {
  const Tokenizer& tokenizer = *demo_language_model().tokenizer();
  for (int32_t id = 0; id < 4096; id++) {
    const std::string bytes = *tokenizer.token_bytes(id);
    if (bytes.size() != 1 || static_cast<unsigned char>(bytes[0]) < 0x80) continue;
    CompletionLogprobs logprobs;
    logprobs.add(demo_language_model(), id, -1.0, {});
    EXPECT_EQ(logprobs.take()["tokens"][0], fmt::format("bytes:\\x{:02x}", static_cast<unsigned char>(bytes[0])));
    return;
  }
  FAIL() << "no such token";
}

}  // namespace
}  // namespace hotaru::server
