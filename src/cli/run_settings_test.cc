#include "cli/run_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/file.h"
#include "cli/run_options.h"

namespace hotaru::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(LogitBias, IsAnIdAndANumber) {
  EXPECT_EQ(parse_logit_bias("42=-1.5")->id, 42);
  EXPECT_EQ(parse_logit_bias("42=-1.5")->bias, -1.5F);
  EXPECT_TRUE(std::isinf(parse_logit_bias("7=-inf")->bias));
  for (const char* text : {"", "=", "42", "42=", "=1", "x=1", "-1=1", "1=nan", "1=2x", "1.5=2", "99999999999=1"}) {
    EXPECT_FALSE(parse_logit_bias(text)) << text;
  }
}

TEST(Format, IsJsonASchemaOrAFileOfOne) {
  EXPECT_EQ(parse_format("json")->kind, GrammarSpec::Kind::kJsonObject);
  const Result<GrammarSpec> schema = parse_format(R"({"type": "object"})");
  EXPECT_EQ(schema->kind, GrammarSpec::Kind::kJsonSchema);
  EXPECT_EQ(schema->text, R"({"type":"object"})");
  const std::string path = testing::TempDir() + "/schema.json";
  auto file = *OutputFile::create(path);
  ASSERT_TRUE(file.write(std::string_view("[1]")));
  ASSERT_TRUE(file.commit());
  EXPECT_THAT(parse_format(path).error().message, HasSubstr("want an object"));
  EXPECT_THAT(parse_format("{\"type\": ").error().message, HasSubstr("JSON schema"));
  EXPECT_EQ(parse_format("none.json").error().kind, ErrorKind::kNotFound);
}

// The message of a refused command line; "" when it is accepted.
std::string refusal(RunOptions& options, std::vector<std::string> line) {
  CLI::App app;
  add_run_options(app, options);
  std::reverse(line.begin(), line.end());  // CLI11 takes them so
  try {
    app.parse(line);
  } catch (const CLI::ParseError& error) {
    return error.what();
  }
  return "";
}
std::string refusal(const std::vector<std::string>& line) {
  RunOptions options;
  return refusal(options, line);
}

TEST(RunOptions, AreTaken) {
  RunOptions options;
  EXPECT_EQ(refusal(options, {"m.hef",
                              "Hello there",
                              "--temperature",
                              "0.5",
                              "--seed",
                              "18446744073709551615",
                              "-n",
                              "0",
                              "--stop",
                              "a",
                              "--stop",
                              "b",
                              "--logit-bias",
                              "3=1",
                              "--logit-bias",
                              "4=-inf",
                              "--when-full",
                              "error",
                              "--memory",
                              "1KiB",
                              "--presence-penalty",
                              "-0.5"}),
            "");
  EXPECT_EQ(options.hef_path, "m.hef");
  EXPECT_EQ(options.prompt, "Hello there");
  EXPECT_EQ(options.settings.sampling.temperature, 0.5F);
  EXPECT_EQ(options.settings.sampling.seed, UINT64_MAX);
  EXPECT_EQ(options.settings.sampling.presence_penalty, -0.5F);
  EXPECT_FALSE(options.settings.sampling.top_p);
  EXPECT_EQ(options.settings.max_tokens, 0);
  EXPECT_THAT(options.settings.stop, ElementsAre("a", "b"));
  EXPECT_EQ(options.settings.sampling.logit_bias.size(), 2U);
  EXPECT_EQ(options.settings.when_full, WhenFull::kError);
  EXPECT_EQ(options.memory_bytes, 1024U);
}

TEST(RunOptions, IdsDoNotSwallowTheFile) {
  RunOptions options;
  EXPECT_EQ(refusal(options, {"--prompt-ids", "1,2,3", "m.hef"}), "");
  EXPECT_THAT(options.prompt_ids, ElementsAre(1, 2, 3));
  EXPECT_EQ(options.hef_path, "m.hef");
}

TEST(RunOptions, WrongValuesNameTheFlag) {
  const struct {
    const char *flag, *value;
  } cases[] = {{"--temperature", "-1"},
               {"--temperature", "nan"},
               {"--temperature", "inf"},
               {"--top-p", "1.5"},
               {"--top-p", "-0.1"},
               {"--top-k", "-1"},
               {"--top-k", "1.5"},
               {"--min-p", "2"},
               {"--repetition-penalty", "0"},
               {"--frequency-penalty", "x"},
               {"--presence-penalty", "inf"},
               {"--seed", "-1"},
               {"--seed", "1e3"},
               {"--max-tokens", "-1"},
               {"--max-tokens", "99999999999"},
               {"--logit-bias", "5"},
               {"--when-full", "maybe"},
               {"--prefill-chunk", "0"},
               {"--memory", "3 lightyears"},
               {"--prompt-ids", "1,,2"},
               {"--prompt-ids", ""},
               {"--prompt-ids", "1,2,three"},
               {"--threads", "0"}};
  for (const auto& [flag, value] : cases) {
    EXPECT_THAT(refusal({"m.hef", std::string(flag) + "=" + value}), HasSubstr(flag)) << flag << " " << value;
  }
}

TEST(RunOptions, ContradictionsAreRefused) {
  EXPECT_NE(refusal({"m.hef", "Hello", "--prompt-ids", "1"}), "");
  EXPECT_NE(refusal({"m.hef", "Hello", "--raw", "--system", "Be brief."}), "");
  EXPECT_NE(refusal({"m.hef", "--resume"}), "");  // of what?
  EXPECT_EQ(refusal({"m.hef", "--resume", "--load-context", "file"}), "");
  EXPECT_NE(refusal({}), "");
}

}  // namespace
}  // namespace hotaru::cli
