#include "text/grammar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <ctime>
#include <thread>

#include "text/test_data.h"
#include "text/test_schema.h"

namespace hotaru {
namespace {

using namespace test_data;  // NOLINT(google-build-using-namespace)
using testing::HasSubstr;
using testing::UnorderedElementsAre;
using Kind = GrammarSpec::Kind;

struct Model {
  std::string name;
  Tokenizer tokenizer;
  std::vector<int32_t> end_ids;
  int vocabulary = 0;
};

Model demo() { return {"demo", load_tokenizer(kDemo + "/tokenizer.json"), {4095, 4093}, 4096}; }
Model llama() { return {"llama2", load_tokenizer(kTokenizers + "/llama2_style.json"), {2}, 0}; }
Model qwen() {
  const Directory directory;
  write_qwen2(directory);
  const TextBundle bundle = *TextBundle::load(directory.path());
  return {"qwen2", *Tokenizer::create(bundle.tokenizer_json), {151645, 151643}, 151936};
}

Result<Grammar> compile(const Model& model, Kind kind, const std::string& text = "") {
  const int vocabulary = model.vocabulary > 0 ? model.vocabulary : model.tokenizer.vocabulary_size();
  return Grammar::compile(model.tokenizer, model.end_ids, vocabulary, {kind, text});
}

std::string error_of(const Model& model, Kind kind, const std::string& text) {
  const Result<Grammar> grammar = compile(model, kind, text);
  if (grammar) return "no error";
  EXPECT_EQ(grammar.error().kind, ErrorKind::kInvalid);
  return grammar.error().message;
}

std::string text_of(const Model& model, const Grammar& grammar, uint32_t seed) {
  std::mt19937 random(seed);
  const std::vector<int32_t> ids = walk(grammar, model.tokenizer, model.end_ids, random);
  EXPECT_FALSE(ids.empty());
  EXPECT_THAT(model.end_ids, testing::Contains(ids.back())) << "no end after " << ids.size();
  return *model.tokenizer.decode(ids);
}

// Whatever is allowed, token after token, ends in a value that satisfies the schema.
TEST(Grammar, EveryWalkSatisfiesTheSchema) {
  const std::string schema = R"({"type": "object", "properties": {
      "name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
      "colour": {"enum": ["red", "green", "a \"quoted\" one"]},
      "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1, "maxItems": 4},
      "more": {"anyOf": [{"type": "null"}, {"type": "number"}]}},
    "required": ["name", "age", "tags"], "additionalProperties": false,
    "$defs": {"tag": {"type": "string", "minLength": 1, "maxLength": 9}}})";
  Json plain = Json::parse(schema);
  plain["properties"]["tags"]["items"] = plain["$defs"]["tag"];
  for (const Model& model : {demo(), llama()}) {
    const Grammar grammar = *compile(model, Kind::kJsonSchema, schema);
    for (uint32_t seed = 0; seed < 20; seed++) {
      const std::string text = text_of(model, grammar, seed);
      const Json value = Json::parse(text, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << model.name << ": " << text;
      EXPECT_TRUE(satisfies(value, plain)) << model.name << ": " << text;
    }
  }
}

TEST(Grammar, AnyJsonObjectIsAnObject) {
  const Model model = demo();
  const Grammar grammar = *compile(model, Kind::kJsonObject);
  for (uint32_t seed = 0; seed < 20; seed++) {
    EXPECT_TRUE(Json::parse(text_of(model, grammar, seed), nullptr, false).is_object());
  }
}

TEST(Grammar, ARegexAndAListOfChoices) {
  const Model model = demo();
  const Grammar number = *compile(model, Kind::kRegex, "-?[0-9]{2,4}");
  for (uint32_t seed = 0; seed < 10; seed++) {
    EXPECT_THAT(text_of(model, number, seed), testing::MatchesRegex("-?[0-9]{2,4}"));
  }
  const Grammar choice = *compile(model, Kind::kLark, R"(start: "yes" | "no" | "perhaps")");
  for (uint32_t seed = 0; seed < 10; seed++) {
    EXPECT_THAT(text_of(model, choice, seed), testing::AnyOf("yes", "no", "perhaps"));
  }
}

TEST(Grammar, EndsAreAllowedWhereTheTextMayEndAndNowhereElse) {
  const Model model = demo();
  const Grammar grammar = *compile(model, Kind::kRegex, "ab?");
  GrammarState state = *GrammarState::begin(grammar);
  const int32_t a = *model.tokenizer.token_to_id("a");
  const int32_t b = *model.tokenizer.token_to_id("b");
  const std::vector<int32_t> first = ids_of(mask_of(state, 4096));
  EXPECT_THAT(first, testing::Contains(a));
  EXPECT_THAT(first, testing::Not(testing::Contains(4095)));
  ASSERT_TRUE(state.advance({{a}}).ok());
  EXPECT_THAT(ids_of(mask_of(state, 4096)), UnorderedElementsAre(b, 4093, 4095));
  ASSERT_TRUE(state.advance({{b}}).ok());
  EXPECT_THAT(ids_of(mask_of(state, 4096)), UnorderedElementsAre(4093, 4095));
  EXPECT_TRUE(state.advance({{4093}}).ok());
  const Result<void> late = state.advance({{a}});
  ASSERT_FALSE(late.ok());
  EXPECT_THAT(late.error().message, HasSubstr("token " + std::to_string(a) + " may not follow"));
}

TEST(Grammar, SpecialTokensAreNoTextAndPaddingIsNeverAllowed) {
  const Model model = demo();
  const Grammar grammar = *Grammar::compile(model.tokenizer, {}, 4200, {Kind::kRegex, "(?s:.)*"});
  GrammarState state = *GrammarState::begin(grammar);
  const std::vector<int32_t> ids = ids_of(mask_of(state, 4200));
  EXPECT_GT(ids.size(), 3000U);
  EXPECT_LT(ids.back(), 4093);
  const Grammar special = *compile(model, Kind::kLark, "start: <|im_start|> \"a\"");
  GrammarState begins = *GrammarState::begin(special);
  EXPECT_THAT(ids_of(mask_of(begins, 4096)), UnorderedElementsAre(4094));
}

TEST(Grammar, WhiteSpaceIsBounded) {
  const Model model = demo();
  const Grammar grammar = *compile(model, Kind::kJsonObject);
  GrammarState state = *GrammarState::begin(grammar);
  const int32_t brace = *model.tokenizer.token_to_id("{");
  const int32_t space = *model.tokenizer.token_to_id("Ġ");
  ASSERT_TRUE(state.advance({{brace}}).ok());
  int spaces = 0;
  const auto allows = [&](int32_t id) {
    const std::vector<int32_t> ids = ids_of(mask_of(state, 4096));
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  while (spaces < 1000 && allows(space)) {
    ASSERT_TRUE(state.advance({{space}}).ok());
    spaces++;
  }
  EXPECT_EQ(spaces, 40);
  EXPECT_TRUE(allows(*model.tokenizer.token_to_id("\"")));
  EXPECT_TRUE(allows(*model.tokenizer.token_to_id("}")));
}

TEST(Grammar, SaysWhatItCannotDo) {
  const Model model = demo();
  const auto error = [&](const std::string& schema) { return error_of(model, Kind::kJsonSchema, schema); };
  EXPECT_THAT(error("{"), HasSubstr("JSON schema: "));
  EXPECT_THAT(error("3"), HasSubstr("want an object"));
  EXPECT_THAT(error("false"), HasSubstr("no text satisfies it"));
  EXPECT_THAT(error(R"({"type": "array", "uniqueItems": true})"), HasSubstr("uniqueItems"));
  EXPECT_THAT(error(R"({"not": {"type": "string"}})"), HasSubstr("not supported: [\"not\"]"));
  EXPECT_THAT(error(R"({"type": "wrong"})"), HasSubstr("wrong"));
  EXPECT_THAT(error(R"({"$ref": "#/$defs/missing"})"), HasSubstr("missing"));
  EXPECT_THAT(error(R"({"$ref": "http://example.com/schema"})"), HasSubstr("http://example.com/schema"));
  EXPECT_THAT(error(R"({"type": "string", "minLength": 5, "maxLength": 2})"), HasSubstr("nsatisfiable"));
  EXPECT_THAT(error(R"({"type": "integer", "minimum": 5, "maximum": 2})"), HasSubstr("5"));
  EXPECT_THAT(error(R"({"type": "string", "format": "martian"})"), HasSubstr("martian"));
  EXPECT_THAT(error_of(model, Kind::kRegex, "("), HasSubstr("unclosed group"));
  EXPECT_THAT(error_of(model, Kind::kRegex, "a(?=b)"), HasSubstr("look-around"));
  EXPECT_THAT(error(R"({"type": "string", "minLength": 9223372036854775808})"), HasSubstr("decimal"));
  EXPECT_THAT(error_of(model, Kind::kLark, "start: nowhere"), HasSubstr("nowhere"));
  EXPECT_FALSE(Grammar::compile(model.tokenizer, {}, -1, {}).ok());
}

// The processor time of this thread, so that others on the machine do not count.
double thread_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// None of them may take long or much memory, whatever comes out.
TEST(Grammar, HostileSchemasAreBounded) {
  const Model model = demo();
  std::string deep;
  for (int i = 0; i < 5000; i++) deep += R"({"items":)";
  std::string choices = R"({"enum": [0)";
  for (int i = 1; i < 50000; i++) choices += "," + std::to_string(i);
  std::string object = R"({"type": "object", "properties": {"p": {})";
  for (int i = 0; i < 2000; i++) object += fmt::format(R"(,"p{}": {{"type": "integer"}})", i);
  const std::vector<std::string> schemas = {
      deep,
      choices + "]}",
      object + "}}",
      R"({"type": "array", "minItems": 1000000000, "maxItems": 2000000000})",
      R"({"type": "string", "minLength": 1000000000})",
      R"({"type": "string", "pattern": "((a{1,1000}){1,1000}){1,1000}"})",
      R"({"type": "string", "pattern": "(a|a|aa)*(b|bb)*.{5000}c"})",
      R"({"$ref": "#"})",
      R"({"allOf": [{"$ref": "#"}, {"$ref": "#"}]})",
      R"({"anyOf": [{"$ref": "#"}, {"type": "array", "items": {"$ref": "#"}}]})",
      R"({"type": "number", "multipleOf": 0.000000001})",
      R"({"type": "object", "patternProperties": {"^(a+)+$": {"type": "integer"}, "^(a|b)*c{200}$": {}}})",
  };
  for (const std::string& schema : schemas) {
    const double start = thread_seconds();
    const Result<Grammar> grammar = compile(model, Kind::kJsonSchema, schema);
    if (grammar) {
      std::mt19937 random(1);
      walk(*grammar, model.tokenizer, model.end_ids, random, 20);
    }
    const double seconds = thread_seconds() - start;
    EXPECT_LT(seconds, 5.0) << schema.substr(0, 100) << (grammar ? "" : grammar.error().message);
  }
}

TEST(Grammar, IsSharedByThreads) {
  const Model model = demo();
  const Grammar grammar = *compile(model, Kind::kJsonObject);
  std::array<std::string, 4> texts;
  std::vector<std::thread> threads;
  threads.reserve(texts.size());
  for (std::string& text : texts) threads.emplace_back([&] { text = text_of(model, grammar, 5); });
  for (std::thread& thread : threads) thread.join();
  for (const std::string& text : texts) EXPECT_EQ(text, texts[0]);
}

// NOLINTNEXTLINE(misc-no-recursion)
Json random_schema(std::mt19937& random, int depth) {
  const auto chance = [&](int of) { return random() % static_cast<uint32_t>(of) == 0; };
  switch (random() % (depth > 0 ? 8 : 5)) {
    case 0: {
      const auto low = static_cast<uint32_t>(random() % 5);
      return {{"type", "string"}, {"minLength", low}, {"maxLength", low + random() % 10}};
    }
    case 1: {
      const int low = static_cast<int>(random() % 2000) - 1000;
      return {{"type", chance(2) ? "integer" : "number"},
              {"minimum", low},
              {"maximum", low + 1 + static_cast<int>(random() % 500)}};
    }
    case 2:
      return {{"type", "boolean"}};
    case 3:
      return {{"enum", {"one", 2, nullptr, "thr\xC3\xA9\xC3\xA9"}}};
    case 4:
      return {{"const", random() % 100}};
    case 5: {
      const auto low = static_cast<uint32_t>(random() % 3);
      return {{"type", "array"},
              {"items", random_schema(random, depth - 1)},
              {"minItems", low},
              {"maxItems", low + random() % 3}};
    }
    case 6:
      return {{"anyOf", {random_schema(random, depth - 1), random_schema(random, depth - 1)}}};
    default: {
      Json schema = {{"type", "object"}, {"properties", Json::object()}, {"required", Json::array()}};
      for (uint32_t i = 0; i < 1 + random() % 4; i++) {
        const std::string name = fmt::format("{}{}", chance(2) ? "k" : "\\\"", i);
        schema["properties"][name] = random_schema(random, depth - 1);
        if (chance(2)) schema["required"].push_back(name);
      }
      schema["additionalProperties"] = false;
      return schema;
    }
  }
}

TEST(Grammar, RandomSchemas) {
  const Model model = demo();
  std::mt19937 random(11);
  for (int i = 0; i < 60; i++) {
    const Json schema = random_schema(random, 3);
    const Result<Grammar> grammar = compile(model, Kind::kJsonSchema, schema.dump());
    ASSERT_TRUE(grammar.ok()) << schema << grammar.error().message;
    for (uint32_t seed = 0; seed < 3; seed++) {
      const std::string text = text_of(model, *grammar, seed);
      const Json value = Json::parse(text, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << schema << "\n" << text;
      EXPECT_TRUE(satisfies(value, schema)) << schema << "\n" << text;
    }
  }
}

double cpu_micros() {  // of this thread: what else the machine does is not counted
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e6 + static_cast<double>(time.tv_nsec) * 1e-3;
}

// Of Qwen's 151,936 rows; printed, only the order of magnitude is checked.
TEST(Grammar, TheMaskOfALargeVocabularyIsCheap) {
  const Model model = qwen();
  const double begin = cpu_micros();
  ASSERT_TRUE(compile(model, Kind::kJsonObject).ok());
  const double first = cpu_micros();
  const Grammar grammar = *compile(model, Kind::kJsonObject);
  fmt::print("first grammar {:.0f} us, second {:.0f} us\n", first - begin, cpu_micros() - first);
  GrammarState state = *GrammarState::begin(grammar);
  std::vector<double> times;
  std::vector<uint64_t> words((151936 + 63) / 64);
  std::string text =
      R"({"name": "A long story of a \"firefly\" - 螢", "list": [1, 2.5e3, true, {"x": null}], "end": ")";
  for (int i = 0; i < 40; i++) text += "There was a light over the water, and nobody saw it. ";
  for (const int32_t id : *model.tokenizer.encode(text + "\"}")) {
    const double start = cpu_micros();
    ASSERT_TRUE(state.allowed(words).ok());
    EXPECT_NE(words[static_cast<size_t>(id) / 64] >> (id % 64) & 1, 0U) << id;
    ASSERT_TRUE(state.advance({&id, 1}).ok());
    times.push_back(cpu_micros() - start);
  }
  std::sort(times.begin(), times.end());
  const size_t n = times.size();
  fmt::print("mask of {} tokens: median {:.0f} us, 99 % {:.0f} us, worst {:.0f} us\n", n, times[n / 2],
             times[n * 99 / 100], times.back());
  EXPECT_LT(times[n / 2], 5000);
}

}  // namespace
}  // namespace hotaru
