#include "device/call_work.h"

#include <gtest/gtest.h>

namespace hotaru {
namespace {

TEST(CallWork, ReadsAContextsKeysOnce) {
  AttentionArgs args;
  args.query_heads = 6;
  args.kv_heads = 2;
  args.head_width = 32;
  std::byte* first_pages = nullptr;
  std::byte* second_pages = nullptr;
  std::byte* const* const pages[] = {&first_pages, &first_pages, &second_pages};
  const int32_t position[] = {9, 10, 99};
  StepInputs step;
  step.tokens = 3;
  step.position = position;
  step.pages = pages;
  const CallWork work = work_of(args, step);
  EXPECT_EQ(work.memory_bytes, (11U + 100U) * 2 * 32 * 2);         // keys and values
  EXPECT_EQ(work.multiply_adds, (10U + 11U + 100U) * 6 * 32 * 2);  // scores and sums
  EXPECT_EQ(work.activation_bytes, 3U * 6 * 32 * 2);               // queries and outputs
}

TEST(CallWork, ReadsWeightsOnceForAllRows) {
  LinearInt4Args args;
  args.inputs = 64;
  args.outputs = 40;  // padded to 48
  StepInputs step;
  step.tokens = 5;
  const CallWork work = work_of(args, step);
  EXPECT_EQ(work.memory_bytes, 3U * 2 * 272 + 40 * 8);
  EXPECT_EQ(work.multiply_adds, 5U * 64 * 40);
}

// One thread does small things alone; large ones have more parts than threads.
TEST(CallWork, PartsFollowTheWork) {
  const auto parts = [](const CallWork& work) { return parts_of(work, 4, Isa::kAvx2); };
  EXPECT_EQ(parts({}), 1);
  EXPECT_EQ(parts({.memory_bytes = 10'000}), 1);
  EXPECT_EQ(parts({.memory_bytes = 50'000}), 2);
  EXPECT_EQ(parts({.memory_bytes = 1'000'000}), 4);
  EXPECT_EQ(parts({.memory_bytes = 100'000'000}), 8);
}

// With tiles, inputs are copied in every part: that pays only where the parts have many outputs.
TEST(CallWork, PartsDoNotReadTheirInputsInVain) {
  StepInputs step;
  step.tokens = 512;
  LinearInt4Args args;
  args.inputs = 1536;
  const auto parts = [&](int outputs, Isa isa) {
    args.outputs = outputs;
    return parts_of(work_of(args, step), 2, isa);
  };
  EXPECT_EQ(parts(17920, Isa::kAmx), 4);
  EXPECT_EQ(parts(1536, Isa::kAmx), 2);
  EXPECT_EQ(parts(1536, Isa::kAvx2), 4);
}

}  // namespace
}  // namespace hotaru
