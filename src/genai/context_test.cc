#include "genai/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "genai/fake_device.h"

namespace hotaru {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<int32_t> count_up(int count) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); i++) ids[i] = static_cast<int32_t>(i * 7 % 64);
  return ids;
}

std::vector<float> stored_logits(Context& context, int chunk) {
  EXPECT_TRUE(context.store_pending(chunk, true, nullptr));
  return {context.logits().begin(), context.logits().end()};
}

std::vector<float> fresh_logits(const std::vector<int32_t>& ids, int chunk = 128) {
  FakeDevice device;
  Context context = *Context::create(device);
  context.append(ids);
  return stored_logits(context, chunk);
}

TEST(Context, ChunksDoNotChangeTheLogits) {
  const std::vector<int32_t> ids = count_up(200);
  const std::vector<float> whole = fresh_logits(ids);
  for (int chunk = 1; chunk <= 128; chunk++) EXPECT_EQ(fresh_logits(ids, chunk), whole) << chunk;
  EXPECT_EQ(fresh_logits(ids, 100000), whole);
}

TEST(Context, ReplaceKeepsTheSharedPrefix) {
  FakeDevice device;
  Context context = *Context::create(device);
  context.append(count_up(50));
  stored_logits(context, 16);
  EXPECT_EQ(device.stepped_tokens(), 50);
  std::vector<int32_t> changed = count_up(60);
  changed[40] = 63;
  context.replace(changed);
  EXPECT_EQ(context.stored_tokens(), 40);
  EXPECT_EQ(context.pending_tokens(), 20);
  EXPECT_EQ(stored_logits(context, 16), fresh_logits(changed));
  EXPECT_EQ(device.stepped_tokens(), 70);
}

TEST(Context, ReplaceByAPrefixOrByTheSameRecomputesOnlyTheLastToken) {
  FakeDevice device;
  Context context = *Context::create(device);
  context.append(count_up(50));
  const std::vector<float> logits = stored_logits(context, 128);
  context.replace(count_up(50));
  EXPECT_EQ(stored_logits(context, 128), logits);
  EXPECT_EQ(device.stepped_tokens(), 51);
  context.replace(count_up(30));
  EXPECT_EQ(stored_logits(context, 128), fresh_logits(count_up(30)));
  EXPECT_EQ(device.stepped_tokens(), 52);
}

TEST(Context, PendingIdsAreNotTakenForStored) {
  FakeDevice device;
  Context context = *Context::create(device);
  context.append(count_up(10));
  stored_logits(context, 128);
  context.append(count_up(5));
  std::vector<int32_t> ids = context.ids();
  context.replace(ids);
  EXPECT_EQ(context.stored_tokens(), 10);
  EXPECT_EQ(stored_logits(context, 128), fresh_logits(ids));
}

TEST(Context, TwoContextsOfOneDeviceDoNotMix) {
  FakeDevice device;
  Context one = *Context::create(device);
  Context other = *Context::create(device);
  one.append(count_up(20));
  stored_logits(one, 128);
  other.append(count_up(3));
  EXPECT_EQ(stored_logits(other, 128), fresh_logits(count_up(3)));
  one.append(count_up(2));
  EXPECT_EQ(stored_logits(one, 128), fresh_logits(one.ids()));
}

TEST(Context, TooManyTokensAreRefusedBeforeAnyStep) {
  FakeDevice device(64, 100);
  Context context = *Context::create(device);
  context.append(count_up(101));
  const Result<bool> stored = context.store_pending(128, true, nullptr);
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().kind, ErrorKind::kNoMemory);
  EXPECT_THAT(stored.error().message, HasSubstr("got 101 tokens, want at most 100"));
  EXPECT_EQ(device.stepped_tokens(), 0);
}

TEST(Context, GoesOnAfterTheDeviceHadNoPage) {
  FakeDevice device;
  device.set_free_pages(1);
  Context context = *Context::create(device);
  context.append(count_up(100));
  const Result<bool> stored = context.store_pending(32, true, nullptr);
  ASSERT_FALSE(stored);
  EXPECT_EQ(stored.error().kind, ErrorKind::kNoMemory);
  EXPECT_EQ(context.stored_tokens(), 64);
  device.set_free_pages(1);
  EXPECT_EQ(stored_logits(context, 32), fresh_logits(count_up(100)));
}

TEST(Context, AbortStopsBetweenChunksAndLosesNothing) {
  FakeDevice device;
  std::atomic<bool> abort = false;
  device.set_on_step([&] { abort = device.stepped_tokens() >= 20; });
  Context context = *Context::create(device);
  context.append(count_up(100));
  EXPECT_FALSE(*context.store_pending(10, true, &abort));
  EXPECT_EQ(context.stored_tokens(), 20);
  abort = false;
  device.set_on_step(nullptr);
  EXPECT_EQ(stored_logits(context, 10), fresh_logits(count_up(100)));
}

TEST(Context, GivesItsDeviceContextBackOnce) {
  FakeDevice device;
  {
    Context first = *Context::create(device);
    Context second = std::move(first);
    EXPECT_EQ(device.contexts(), 1);
    Context third = *Context::create(device);
    third.append(count_up(3));
    second = std::move(third);
    EXPECT_EQ(second.ids().size(), 3U);
  }
  EXPECT_EQ(device.contexts(), 0);
}

}  // namespace
}  // namespace hotaru
