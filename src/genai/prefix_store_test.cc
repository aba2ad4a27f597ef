#include "genai/prefix_store.h"

#include <gtest/gtest.h>

#include <memory>

#include "genai/fake_device.h"
#include "genai/stored_logits.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

std::vector<float> fresh_logits(const std::vector<int32_t>& ids, int adapter = kNoAdapter) {
  FakeDevice device(64, 512);
  device.set_adapters({"one", "two"});
  Context context = *Context::create(device, adapter);
  context.append(ids);
  return stored_logits(context);
}

class PrefixStoreTest : public testing::Test {
 protected:
  void SetUp() override { device_.set_adapters({"one", "two"}); }

  // A reply's context comes into the store.
  void keep(PrefixStore& store, const std::vector<int32_t>& ids, int adapter = kNoAdapter) {
    Context context = *Context::create(device_, adapter);
    context.append(ids);
    stored_logits(context);
    store.keep(std::move(context));
  }
  // The logits after a prompt, with what the store has of it.
  std::vector<float> logits(PrefixStore& store, const std::vector<int32_t>& ids, int adapter = kNoAdapter) {
    Context context = *Context::create(device_, adapter);
    EXPECT_TRUE(store.begin_with(context, ids).ok());
    context.replace(ids);
    return stored_logits(context);
  }

  FakeDevice device_{64, 512, 32};
};

TEST_F(PrefixStoreTest, APromptTakesOverWhatItBeginsWith) {
  PrefixStore store(device_, 32);
  keep(store, count_up(200));
  std::vector<int32_t> ids = count_up(250);
  EXPECT_EQ(store.longest(ids, kNoAdapter), 200);
  const int before = device_.stepped_tokens();
  EXPECT_EQ(logits(store, ids), fresh_logits(ids));
  EXPECT_EQ(device_.stepped_tokens(), before + 50);
  ids[150] = 63;
  EXPECT_EQ(store.longest(ids, kNoAdapter), 150);
  EXPECT_EQ(logits(store, ids), fresh_logits(ids));
  EXPECT_EQ(logits(store, count_up(200)), fresh_logits(count_up(200))) << "what is kept was not written into";
}

TEST_F(PrefixStoreTest, TheLastTokenIsAlwaysComputed) {
  PrefixStore store(device_, 32);
  keep(store, count_up(100));
  EXPECT_EQ(store.longest(count_up(100), kNoAdapter), 99);
  EXPECT_EQ(store.longest(count_up(1), kNoAdapter), 0);
  EXPECT_EQ(store.longest({}, kNoAdapter), 0);
  EXPECT_EQ(logits(store, count_up(100)), fresh_logits(count_up(100)));
  EXPECT_EQ(logits(store, count_up(1)), fresh_logits(count_up(1)));
}

TEST_F(PrefixStoreTest, OnlyTheSameAdapterCounts) {
  PrefixStore store(device_, 32);
  keep(store, count_up(100), 0);
  EXPECT_EQ(store.longest(count_up(100), kNoAdapter), 0);
  EXPECT_EQ(store.longest(count_up(100), 1), 0);
  EXPECT_EQ(store.longest(count_up(100), 0), 99);
  EXPECT_EQ(logits(store, count_up(100), 1), fresh_logits(count_up(100), 1));
  EXPECT_EQ(logits(store, count_up(100), 0), fresh_logits(count_up(100), 0));
}

TEST_F(PrefixStoreTest, WhatIsPendingIsNotStored) {
  PrefixStore store(device_, 32);
  Context context = *Context::create(device_);
  context.append(count_up(50));
  stored_logits(context);
  context.append(count_up(20));
  store.keep(std::move(context));
  std::vector<int32_t> ids = count_up(50);
  for (const int32_t id : count_up(30)) ids.push_back(id);
  EXPECT_EQ(store.longest(ids, kNoAdapter), 50);
  EXPECT_EQ(logits(store, ids), fresh_logits(ids));
}

TEST_F(PrefixStoreTest, ABeginningOfAnotherIsNotKeptTwice) {
  PrefixStore store(device_, 32);
  keep(store, count_up(100));
  keep(store, count_up(200));
  EXPECT_EQ(store.contexts(), 1);
  keep(store, count_up(150));
  EXPECT_EQ(store.contexts(), 1);
  EXPECT_EQ(store.longest(count_up(300), kNoAdapter), 200);
  EXPECT_EQ(store.pages(), 4);
  EXPECT_EQ(device_.free_pages(), 28);
}

TEST_F(PrefixStoreTest, TheLeastRecentlyUsedGoesFirst) {
  PrefixStore store(device_, 6);
  const std::vector<int32_t> first(128, 1);
  const std::vector<int32_t> second(128, 2);
  const std::vector<int32_t> third(128, 3);
  const std::vector<int32_t> fourth(128, 4);
  keep(store, first);
  keep(store, second);
  keep(store, third);
  EXPECT_EQ(store.pages(), 6);
  logits(store, first);
  keep(store, fourth);
  EXPECT_EQ(store.pages(), 6);
  EXPECT_EQ(device_.free_pages(), 26);
  EXPECT_EQ(store.longest(first, kNoAdapter), 127);
  EXPECT_EQ(store.longest(second, kNoAdapter), 0);
  EXPECT_TRUE(store.evict_one());
  EXPECT_EQ(store.longest(third, kNoAdapter), 0);
  EXPECT_TRUE(store.evict_one());
  EXPECT_EQ(store.longest(first, kNoAdapter), 0);
  EXPECT_TRUE(store.evict_one());
  EXPECT_FALSE(store.evict_one());
  EXPECT_EQ(device_.free_pages(), 32);
  EXPECT_EQ(device_.contexts(), 0);
}

TEST_F(PrefixStoreTest, WhatIsTooLongIsCutToTheBudget) {
  PrefixStore store(device_, 2);
  keep(store, count_up(400));
  EXPECT_EQ(store.longest(count_up(400), kNoAdapter), 128);
  EXPECT_EQ(device_.free_pages(), 30);
  PrefixStore none(device_, 0);
  keep(none, count_up(400));
  EXPECT_EQ(none.contexts(), 0);
}

// Prompts from few beginnings, in any order, with evictions in between: always the logits of a fresh device.
TEST_F(PrefixStoreTest, ReuseIsInvisible) {
  Random random(11);
  PrefixStore store(device_, 12);
  int reused = 0;
  for (int i = 0; i < 400; i++) {
    std::vector<int32_t> ids;
    for (int part = 0; part < 4; part++) {
      const auto id = static_cast<int32_t>(random.next_below(2));
      ids.insert(ids.end(), 20 + random.next_below(2) * 30, id);
    }
    const int adapter = static_cast<int>(random.next_below(3)) - 1;
    Context context = *Context::create(device_, adapter);
    ASSERT_TRUE(store.begin_with(context, ids).ok());
    ASSERT_EQ(context.stored_tokens(), store.longest(ids, adapter));
    reused += context.stored_tokens();
    context.replace(ids);
    ASSERT_EQ(stored_logits(context, 32), fresh_logits(ids, adapter)) << i;
    if (random.next_below(4) > 0) store.keep(std::move(context));
    if (random.next_below(10) == 0) store.evict_one();
    ASSERT_LE(store.pages(), 12);
  }
  EXPECT_GT(reused, 4000);
}

}  // namespace
}  // namespace hotaru
