#include "eval/context_costs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace hotaru {
namespace {

Result<ContextCosts> costs_of(int tokens, const std::string& file) {
  DeviceOptions options;
  options.context_tokens = 1024;
  auto device = Device::open(HOTARU_SOURCE_DIR "/tests/data/hef/demo-v1.hef", options);
  EXPECT_TRUE(device.ok());
  return measure_context_costs(*std::move(device), tokens, file);
}

TEST(ContextCosts, CountPagesAndBytes) {
  const std::string file = testing::TempDir() + "context_costs";
  const auto costs = costs_of(400, file);
  ASSERT_TRUE(costs.ok()) << costs.error().message;
  const uint64_t page = costs->page_bytes / 7;  // 400 tokens, 64 a page
  EXPECT_EQ(costs->page_bytes % 7, 0U);
  EXPECT_EQ(costs->file_bytes, std::filesystem::file_size(file));
  EXPECT_GE(costs->file_bytes, costs->page_bytes);
  EXPECT_EQ(costs->fork_bytes, 0U);
  EXPECT_EQ(costs->parted_bytes, page);  // the last one is copied for the side that wrote first
  EXPECT_EQ(costs->reused_tokens, 384);  // whole pages of the 384 that are alike
  EXPECT_EQ(costs->reuse_bytes, page);
  for (const double ms : {costs->prefill_ms, costs->longest_chunk_ms, costs->save_ms, costs->restore_ms, costs->fork_ms,
                          costs->reuse_ms, costs->decode_ms, costs->longest_stall_ms}) {
    EXPECT_GT(ms, 0);
  }
  EXPECT_LT(costs->longest_chunk_ms, costs->prefill_ms);
  std::filesystem::remove(file);
}

TEST(ContextCosts, WantRoomForTwo) {
  const auto costs = costs_of(500, "nowhere");
  ASSERT_FALSE(costs.ok());
  EXPECT_THAT(costs.error().message, testing::HasSubstr("got 500 tokens, want 32 to 480"));
}

}  // namespace
}  // namespace hotaru
