#include "genai/grammar_mask.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "genai/generator.h"
#include "genai/language_model.h"
#include "genai/scheduler.h"
#include "text/test_schema.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

const std::string kHef = std::string(HOTARU_SOURCE_DIR) + "/tests/data/hef/demo-v1.hef";
const std::string kSchema =
    R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 30}, "age": {"type": "integer",
        "minimum": 1, "maximum": 99}, "friends": {"type": "array", "items": {"type": "string", "maxLength": 12},
        "maxItems": 3}}, "required": ["name", "age", "friends"], "additionalProperties": false})";

LanguageModel open_demo(int threads) {
  DeviceOptions options;
  options.threads = threads;
  options.context_tokens = 2048;
  return *LanguageModel::open(kHef, options);
}

Grammar grammar_of(const LanguageModel& model, const GrammarSpec& spec) {
  return *Grammar::compile(*model.tokenizer(), model.defaults().eos_ids, model.device().info().vocabulary, spec);
}

GenerationOptions options_of(const LanguageModel& model, float temperature, uint64_t seed) {
  GenerationOptions options;
  options.sampling.temperature = temperature;
  options.sampling.seed = seed;
  options.max_tokens = 600;
  options.stop_ids = model.defaults().eos_ids;
  return options;
}

Context prompted(const LanguageModel& model) {
  Context context = *Context::create(model.device());
  context.append(*model.encode_chat(std::vector<Message>{{"user", "Describe a child."}}));
  return context;
}

void play_to_end(Generation& generation) {
  Scheduler scheduler(generation.context().device(), {});
  scheduler.add(generation);
  while (!generation.has_ended()) scheduler.step();
}

TEST(GrammarMask, RepliesOfAModelSatisfyTheSchemaOnAnyNumberOfThreads) {
  const LanguageModel one = open_demo(1);
  const LanguageModel two = open_demo(2);
  const Grammar grammar = grammar_of(one, {GrammarSpec::Kind::kJsonSchema, kSchema});
  for (uint64_t seed = 0; seed < 6; seed++) {
    std::vector<std::vector<int32_t>> ids;
    for (const LanguageModel* model : {&one, &two}) {
      GenerationOptions options = options_of(*model, seed == 0 ? 0.0F : 1.0F, seed);
      options.make_token_mask = [&] { return make_grammar_mask(grammar); };
      Context context = prompted(*model);
      const Reply reply = *generate(context, options, nullptr, nullptr);
      EXPECT_EQ(reply.status, ReplyStatus::kLogicalEnd);
      const std::string text = *model->tokenizer()->decode(reply.token_ids);
      const Json value = Json::parse(text, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << text;
      EXPECT_TRUE(test_data::satisfies(value, Json::parse(kSchema))) << text;
      ids.push_back(reply.token_ids);
    }
    EXPECT_EQ(ids[0], ids[1]);
  }
}

TEST(GrammarMask, AResumedReplyGoesOnWithTheSameTokens) {
  const LanguageModel model = open_demo(1);
  const Grammar grammar = grammar_of(model, {GrammarSpec::Kind::kJsonSchema, kSchema});
  GenerationOptions options = options_of(model, 1.0F, 3);
  options.make_token_mask = [&] { return make_grammar_mask(grammar); };
  Context uncut = prompted(model);
  const std::vector<int32_t> ids = generate(uncut, options, nullptr, nullptr)->token_ids;
  ASSERT_GT(ids.size(), 10U);
  for (const size_t cut : {size_t{1}, size_t{5}, ids.size() - 1}) {
    Context context = prompted(model);
    const std::span<const int32_t> earlier = std::span(ids).first(cut);
    context.append(earlier);
    Generation generation = *Generation::begin(context, options, {}, earlier);
    play_to_end(generation);
    EXPECT_EQ(generation.generated(), ids) << cut;
  }
}

TEST(GrammarMask, AnErrorOfTheGrammarFailsTheReply) {
  const LanguageModel model = open_demo(1);
  const Grammar grammar = grammar_of(model, {GrammarSpec::Kind::kRegex, "[0-9]+"});
  const auto mask = make_grammar_mask(grammar);
  mask->begin({});
  EXPECT_TRUE(mask->allowed().ok());
  const int32_t letter = model.tokenizer()->token_to_id("a").value();
  mask->begin({&letter, 1});
  ASSERT_FALSE(mask->allowed().ok());
  EXPECT_THAT(mask->allowed().error().message, HasSubstr("may not follow"));

  Context context = prompted(model);
  context.append({&letter, 1});
  GenerationOptions options = options_of(model, 0.0F, 1);
  options.make_token_mask = [&] { return make_grammar_mask(grammar); };
  Generation generation = *Generation::begin(context, options, {}, {&letter, 1});
  play_to_end(generation);
  ASSERT_TRUE(generation.error().has_value());
  EXPECT_THAT(generation.error()->message, HasSubstr("may not follow"));
}

TEST(GrammarMask, CanBeLeftWhileItWorks) {
  const LanguageModel model = open_demo(1);
  const Grammar grammar = grammar_of(model, {GrammarSpec::Kind::kJsonObject, ""});
  for (int i = 0; i < 20; i++) make_grammar_mask(grammar)->begin({});
  for (int i = 0; i < 20; i++) make_grammar_mask(grammar);
}

}  // namespace
}  // namespace hotaru
