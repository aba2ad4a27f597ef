// Contexts that decode in one step do not know of each other: every context's logits are, bit for bit, those that it
// has alone, whatever the batch, the threads and the program that plays it.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "device/device.h"

namespace hotaru {
namespace {

constexpr int kContexts = 8;
constexpr int kSteps = 3;
int depth_of(int context) { return context * 23 % 90; }  // more than a page for some, nothing for the first
int32_t token_of(int context, int position) { return (context * 131 + position * 17 + 5) % 1000; }

std::unique_ptr<Device> open_demo(int threads) {
  DeviceOptions options;
  options.threads = threads;
  auto device = Device::open(HOTARU_SOURCE_DIR "/tests/data/hef/demo-v1.hef", options);
  EXPECT_TRUE(device) << device.error().message;
  return device ? *std::move(device) : nullptr;
}

// A context with its first tokens in it.
int begin_context(Device& device, int number) {
  const int context = *device.create_context();
  EXPECT_TRUE(device.reserve(context, 0, depth_of(number) + kSteps));
  std::vector<StepRow> rows;
  for (int i = 0; i < depth_of(number); i++) rows.push_back({token_of(number, i), i, context});
  device.step(rows);
  return context;
}

using Logits = std::vector<float>;

// logits[step] of every one of the contexts, which decode together.
std::vector<std::vector<Logits>> decode_together(Device& device, const std::vector<int>& numbers) {
  std::vector<int> contexts;
  for (const int number : numbers) contexts.push_back(begin_context(device, number));
  std::vector<std::vector<Logits>> found(numbers.size());
  std::vector<int32_t> outputs(numbers.size());
  std::iota(outputs.begin(), outputs.end(), 0);
  for (int step = 0; step < kSteps; step++) {
    std::vector<StepRow> rows;
    for (size_t i = 0; i < numbers.size(); i++) {
      const int position = depth_of(numbers[i]) + step;
      rows.push_back({token_of(numbers[i], position), position, contexts[i]});
    }
    device.step(rows);
    device.compute_logits(outputs);
    for (size_t i = 0; i < numbers.size(); i++) {
      const auto logits = device.logits(static_cast<int>(i));
      found[i].emplace_back(logits.begin(), logits.end());
    }
  }
  for (const int context : contexts) device.destroy_context(context);
  return found;
}

TEST(Batch, ContextsTogetherHaveTheBitsOfEachAlone) {
  const auto alone_on = open_demo(1);
  ASSERT_NE(alone_on, nullptr);
  ASSERT_GE(alone_on->info().decode_rows, kContexts);
  std::vector<std::vector<Logits>> alone;
  for (int number = 0; number < kContexts; number++) alone.push_back(decode_together(*alone_on, {number})[0]);
  for (const int threads : {1, 2, 3}) {
    const auto device = open_demo(threads);
    ASSERT_NE(device, nullptr);
    for (const std::vector<int>& numbers :
         {std::vector<int>{3, 0}, {7, 2, 5, 1}, {6, 4, 2, 0, 1, 3, 5}, {0, 1, 2, 3, 4, 5, 6, 7}}) {
      const auto together = decode_together(*device, numbers);
      for (size_t i = 0; i < numbers.size(); i++) {
        for (size_t step = 0; step < kSteps; step++) {
          const Logits& wanted = alone[static_cast<size_t>(numbers[i])][step];
          ASSERT_EQ(together[i][step].size(), wanted.size());
          EXPECT_EQ(std::memcmp(together[i][step].data(), wanted.data(), wanted.size() * sizeof(float)), 0)
              << threads << " threads, " << numbers.size() << " contexts, context " << numbers[i] << ", step " << step;
        }
      }
    }
  }
}

TEST(Batch, TheProfileCountsWhatWasPlayed) {
  const auto device = open_demo(2);
  ASSERT_NE(device, nullptr);
  const int context = begin_context(*device, 0);
  device->start_profile();
  const StepRow row{1, 0, context};
  const int32_t output = 0;
  for (int i = 0; i < 2; i++) {
    device->step(std::span(&row, 1));
    device->compute_logits(std::span(&output, 1));
  }
  const std::vector<CallProfile> calls = device->stop_profile();
  ASSERT_FALSE(calls.empty());
  uint64_t int4_bytes = 0;
  for (const CallProfile& call : calls) {
    EXPECT_EQ(call.plays, 2U) << call.call;
    EXPECT_NE(call.program, "prefill");
    EXPECT_GT(call.seconds, 0) << call.call;
    if (call.operation == "linear_int4") int4_bytes += call.memory_bytes;
  }
  // A token reads every 4-bit weight once; embedding and head make up the rest of the file.
  EXPECT_GT(int4_bytes / 2, device->info().weight_bytes / 4);
  EXPECT_LT(int4_bytes / 2, device->info().weight_bytes);
  EXPECT_TRUE(device->stop_profile().empty());
}

}  // namespace
}  // namespace hotaru
