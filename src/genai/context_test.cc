#include "genai/context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "genai/fake_device.h"
#include "genai/stored_logits.h"

namespace hotaru {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

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

TEST(Context, WithoutAPlaceInTheDeviceItTakesOneAgain) {
  FakeDevice device;
  device.set_adapters({"a", "b"});
  Context context = *Context::create(device, 1);
  context.append(count_up(50));
  const std::vector<float> logits = stored_logits(context, 128);
  context.leave_device();
  EXPECT_EQ(device.contexts(), 0);
  EXPECT_EQ(context.pending_tokens(), 50);
  EXPECT_EQ(stored_logits(context, 128), logits);  // with its adapter
  EXPECT_EQ(device.contexts(), 1);
  context.leave_device();
  EXPECT_EQ(context.fork()->ids(), context.ids());
  context.set_adapter(kNoAdapter);
  context.replace(count_up(20));
  EXPECT_EQ(stored_logits(context, 128), fresh_logits(count_up(20)));
  context.leave_device();
  Context other = *Context::create(device);
  other.append(count_up(20));
  stored_logits(other, 128);
  context.begin_like(other, 19);
  EXPECT_EQ(context.stored_tokens(), 19);
  EXPECT_EQ(stored_logits(context, 128), fresh_logits(count_up(20)));
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

TEST(Context, AForkGoesItsOwnWay) {
  FakeDevice device(64, 256, 8);
  Context one = *Context::create(device);
  one.append(count_up(100));
  stored_logits(one, 128);
  one.append(count_up(2));  // pending ids are forked too
  Context other = *one.fork();
  EXPECT_EQ(device.stepped_tokens(), 100);
  EXPECT_EQ(other.ids(), one.ids());
  EXPECT_EQ(other.stored_tokens(), 100);
  other.append(count_up(3));
  EXPECT_EQ(stored_logits(one, 128), fresh_logits(one.ids()));
  EXPECT_EQ(stored_logits(other, 128), fresh_logits(other.ids()));
  EXPECT_EQ(device.stepped_tokens(), 107);
}

TEST(Context, ShiftDropsTheOlderHalfOfWhatIsBehindTheKept) {
  FakeDevice device;
  Context context = *Context::create(device);
  context.append(count_up(100));
  stored_logits(context, 128);
  ASSERT_TRUE(context.shift(11));
  std::vector<int32_t> wanted = count_up(100);
  wanted.erase(wanted.begin() + 11, wanted.begin() + 11 + 44);
  EXPECT_EQ(context.ids(), wanted);
  EXPECT_EQ(context.stored_tokens(), 11);  // the others are at new positions
  EXPECT_EQ(stored_logits(context, 128), fresh_logits(wanted));
  EXPECT_FALSE(context.shift(55));
  EXPECT_EQ(context.ids(), wanted);
}

TEST(Context, BeginsLikeAnotherUnderTheSameAdapterOnly) {
  FakeDevice device(64, 256, 8);
  device.set_adapters({"a"});
  Context one = *Context::create(device);
  one.append(count_up(80));
  stored_logits(one, 128);
  Context other = *Context::create(device);
  std::vector<int32_t> ids = count_up(90);
  ids[70] = 63;
  other.append(ids);
  EXPECT_EQ(one.stored_like(other), 70);
  other.begin_like(one, 70);
  EXPECT_EQ(other.stored_tokens(), 70);
  EXPECT_EQ(stored_logits(other, 128), fresh_logits(ids));
  EXPECT_EQ(device.stepped_tokens(), 100);
  other.set_adapter(0);
  EXPECT_EQ(one.stored_like(other), 0);
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
