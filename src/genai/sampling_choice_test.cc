#include "genai/sampling_choice.h"

#include <gtest/gtest.h>

namespace hotaru {
namespace {

TEST(SamplingChoice, TheCallerComesBeforeTheHefBeforeHotaru) {
  GenerationDefaults defaults;
  SamplingChoice choice;
  SamplingParams params = resolve_sampling(choice, defaults);
  EXPECT_EQ(params.temperature, 1.0F);
  EXPECT_EQ(params.top_p, 1.0F);
  EXPECT_EQ(params.top_k, 0);
  EXPECT_EQ(params.repetition_penalty, 1.1F);

  defaults.temperature = 0.7F;
  defaults.top_k = 20;
  defaults.top_p = 0.8F;
  defaults.min_p = 0.05F;
  defaults.repetition_penalty = 1.05F;
  params = resolve_sampling(choice, defaults);
  EXPECT_EQ(params.temperature, 0.7F);
  EXPECT_EQ(params.top_k, 20);
  EXPECT_EQ(params.top_p, 0.8F);
  EXPECT_EQ(params.min_p, 0.05F);
  EXPECT_EQ(params.repetition_penalty, 1.05F);

  choice = {.temperature = 0.2F, .top_p = 1.0F, .min_p = 0.0F, .repetition_penalty = 1.0F, .top_k = 0, .seed = 9};
  params = resolve_sampling(choice, defaults);
  EXPECT_EQ(params.temperature, 0.2F);
  EXPECT_EQ(params.top_k, 0);
  EXPECT_EQ(params.top_p, 1.0F);
  EXPECT_EQ(params.min_p, 0.0F);
  EXPECT_EQ(params.repetition_penalty, 1.0F);
  EXPECT_EQ(params.seed, 9U);
}

TEST(SamplingChoice, GreedyIsNotPenalisedUnlessSomebodySaysSo) {
  GenerationDefaults defaults;
  EXPECT_EQ(resolve_sampling({.temperature = 0.0F}, defaults).repetition_penalty, 1.0F);
  EXPECT_EQ(resolve_sampling({.temperature = 0.0F, .repetition_penalty = 1.3F}, defaults).repetition_penalty, 1.3F);
  defaults.repetition_penalty = 1.2F;
  EXPECT_EQ(resolve_sampling({.temperature = 0.0F}, defaults).repetition_penalty, 1.2F);
}

TEST(SamplingChoice, AHefThatDoesNotSampleIsGreedyUntilATemperatureIsChosen) {
  GenerationDefaults defaults;
  defaults.do_sample = false;
  defaults.temperature = 0.8F;
  EXPECT_EQ(resolve_sampling({}, defaults).temperature, 0.0F);
  EXPECT_EQ(resolve_sampling({.temperature = 0.5F}, defaults).temperature, 0.5F);
}

}  // namespace
}  // namespace hotaru
