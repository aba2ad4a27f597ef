#include "device/kv_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <set>

#include "tensor/random.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

std::byte& byte_at(KvPool& pool, int context, int position) {
  return pool.pages(context)[position / KvPool::kPageTokens][position % KvPool::kPageTokens];
}

TEST(KvPool, PagesComeAndGo) {
  KvPool pool = *KvPool::create(4096, 4);
  EXPECT_EQ(pool.capacity_tokens(), 256);
  EXPECT_EQ(pool.free_pages(), 4);
  const int a = *pool.create_context();
  const int b = *pool.create_context();
  ASSERT_TRUE(pool.reserve(a, 0, 65).ok());
  ASSERT_TRUE(pool.reserve(b, 0, 64).ok());
  EXPECT_EQ(pool.reserved_tokens(a), 128);
  EXPECT_EQ(pool.reserved_tokens(b), 64);
  EXPECT_EQ(pool.free_pages(), 1);
  std::set<std::byte*> distinct = {pool.pages(a)[0], pool.pages(a)[1], pool.pages(b)[0]};
  EXPECT_EQ(distinct.size(), 3U);
  const auto refused = pool.reserve(b, 64, 200);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kNoMemory);
  EXPECT_THAT(refused.error().message, HasSubstr("200 tokens wanted in one context, all 4 pages of 64 tokens"));
  EXPECT_EQ(pool.reserved_tokens(b), 128) << "pages already taken stay";
  pool.truncate(a, 64);
  EXPECT_TRUE(pool.reserve(b, 128, 192).ok());
  pool.destroy_context(b);
  EXPECT_TRUE(pool.reserve(a, 64, 256).ok());
}

TEST(KvPool, SlotsRunOut) {
  KvPool pool = *KvPool::create(64, 1);
  for (int i = 0; i < KvPool::kMaxContexts; i++) ASSERT_TRUE(pool.create_context().ok());
  EXPECT_FALSE(pool.create_context().ok());
  pool.destroy_context(7);
  EXPECT_EQ(*pool.create_context(), 7);
}

TEST(KvPool, SharedPagesAreCopiedBeforeTheyAreWritten) {
  KvPool pool = *KvPool::create(64, 4);
  const int a = *pool.create_context();
  const int b = *pool.create_context();
  ASSERT_TRUE(pool.reserve(a, 0, 100).ok());
  for (int position = 0; position < 100; position++) byte_at(pool, a, position) = std::byte{1};
  pool.share(a, b, 100);
  EXPECT_EQ(pool.free_pages(), 2);
  EXPECT_EQ(pool.pages(b)[1], pool.pages(a)[1]);
  EXPECT_FALSE(pool.owns(a, 99));
  EXPECT_FALSE(pool.owns(b, 99));
  ASSERT_TRUE(pool.reserve(b, 100, 101).ok());
  EXPECT_EQ(pool.pages(b)[0], pool.pages(a)[0]) << "only the page that will be written is copied";
  EXPECT_NE(pool.pages(b)[1], pool.pages(a)[1]);
  EXPECT_TRUE(pool.owns(a, 99)) << "the other side's is its own again";
  byte_at(pool, b, 100) = std::byte{2};
  EXPECT_EQ(byte_at(pool, b, 99), std::byte{1});
  EXPECT_EQ(byte_at(pool, a, 100), std::byte{0});
  EXPECT_EQ(pool.free_pages(), 1);
  pool.destroy_context(a);
  EXPECT_EQ(pool.free_pages(), 2) << "the shared page has still one holder";
  EXPECT_TRUE(pool.owns(b, 0));
  EXPECT_EQ(byte_at(pool, b, 0), std::byte{1});
}

TEST(KvPool, ACopyNeedsAFreePage) {
  KvPool pool = *KvPool::create(64, 1);
  const int a = *pool.create_context();
  const int b = *pool.create_context();
  ASSERT_TRUE(pool.reserve(a, 0, 10).ok());
  pool.share(a, b, 10);
  const auto refused = pool.reserve(b, 10, 11);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kNoMemory);
  EXPECT_EQ(pool.pages(b)[0], pool.pages(a)[0]);
  pool.truncate(a, 0);
  EXPECT_TRUE(pool.reserve(b, 10, 11).ok());
}

TEST(KvPool, APageTakenAgainIsEmpty) {
  KvPool pool = *KvPool::create(64, 1);
  const int a = *pool.create_context();
  ASSERT_TRUE(pool.reserve(a, 0, 1).ok());
  byte_at(pool, a, 0) = std::byte{7};
  pool.truncate(a, 0);
  ASSERT_TRUE(pool.reserve(a, 0, 1).ok());
  EXPECT_EQ(byte_at(pool, a, 0), std::byte{0});
}

TEST(KvPool, PagesAreReadAndWritten) {
  KvPool pool = *KvPool::create(64, 2);
  const int a = *pool.create_context();
  ASSERT_TRUE(pool.reserve(a, 0, 128).ok());
  std::vector<std::byte> bytes(64, std::byte{9});
  pool.write_page(a, 1, bytes);
  EXPECT_EQ(byte_at(pool, a, 64), std::byte{9});
  EXPECT_EQ(byte_at(pool, a, 63), std::byte{0});
  std::vector<std::byte> read(64);
  pool.read_page(a, 1, read);
  EXPECT_EQ(read, bytes);
}

using KvPoolDeathTest = testing::Test;

TEST(KvPoolDeathTest, ASharedPageCannotBeWritten) {
  KvPool pool = *KvPool::create(64, 2);
  const int a = *pool.create_context();
  const int b = *pool.create_context();
  ASSERT_TRUE(pool.reserve(a, 0, 64).ok());
  pool.share(a, b, 64);
  EXPECT_DEATH(pool.write_page(a, 0, std::vector<std::byte>(64)), "owns");
}

// What the pool is for a caller who knows nothing of pages: every context has its own bytes.
class Model {
 public:
  explicit Model(uint64_t seed) : random_(seed), contexts_(kContexts) {}

  void play(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFailure(); i++) {
      play_one();
      check();
    }
    for (int c = 0; c < kContexts; c++) close(c);
    EXPECT_EQ(pool_.free_pages(), kPages);
  }

 private:
  static constexpr int kContexts = 5, kPages = 12, kLongest = 300;
  struct Context {
    int handle = -1;
    std::vector<std::byte> bytes;  // one a position
  };

  int below(int end) { return static_cast<int>(random_.next_below(static_cast<uint32_t>(end))); }

  void close(int c) {
    Context& context = contexts_[static_cast<size_t>(c)];
    if (context.handle >= 0) pool_.destroy_context(context.handle);
    context = {};
  }

  void play_one() {
    const int c = below(kContexts);
    Context& context = contexts_[static_cast<size_t>(c)];
    if (context.handle < 0) {
      context.handle = *pool_.create_context();
      const Context& from = contexts_[static_cast<size_t>(below(kContexts))];
      if (from.handle < 0 || from.handle == context.handle) return;
      const int tokens = below(static_cast<int>(from.bytes.size()) + 1);
      pool_.share(from.handle, context.handle, tokens);
      context.bytes.assign(from.bytes.begin(), from.bytes.begin() + tokens);
      return;
    }
    switch (below(8)) {
      case 0:
        return close(c);
      case 1: {
        const int tokens = below(static_cast<int>(context.bytes.size()) + 1);
        pool_.truncate(context.handle, tokens);
        context.bytes.resize(static_cast<size_t>(tokens));
        return;
      }
      default:
        return write(context);
    }
  }

  // Behind what is there, or over some of it.
  void write(Context& context) {
    const int first = below(static_cast<int>(context.bytes.size()) + 1);
    const int end = std::min(kLongest, first + 1 + below(90));
    if (end <= first) return;
    const Result<void> reserved = pool_.reserve(context.handle, first, end);
    if (!reserved) {
      EXPECT_EQ(reserved.error().kind, ErrorKind::kNoMemory);
      EXPECT_EQ(pool_.free_pages(), 0);
      refusals_++;
      return;
    }
    context.bytes.resize(std::max(context.bytes.size(), static_cast<size_t>(end)));
    for (int position = first; position < end; position++) {
      ASSERT_TRUE(pool_.owns(context.handle, position));
      const auto value = static_cast<std::byte>(random_.next_u64());
      byte_at(pool_, context.handle, position) = value;
      context.bytes[static_cast<size_t>(position)] = value;
    }
  }

  void check() {
    std::set<std::byte*> held;
    for (const Context& context : contexts_) {
      if (context.handle < 0) continue;
      ASSERT_GE(pool_.reserved_tokens(context.handle), static_cast<int>(context.bytes.size()));
      for (int p = 0; p < pool_.reserved_tokens(context.handle) / KvPool::kPageTokens; p++) {
        held.insert(pool_.pages(context.handle)[p]);
      }
      for (size_t i = 0; i < context.bytes.size(); i++) {
        ASSERT_EQ(byte_at(pool_, context.handle, static_cast<int>(i)), context.bytes[i]) << i;
      }
    }
    ASSERT_EQ(static_cast<int>(held.size()) + pool_.free_pages(), kPages);
  }

  Random random_;
  KvPool pool_ = *KvPool::create(KvPool::kPageTokens, kPages);
  std::vector<Context> contexts_;

 public:
  int refusals_ = 0;
};

TEST(KvPool, SharingIsInvisible) {
  int refusals = 0;
  for (uint64_t seed = 0; seed < 20; seed++) {
    SCOPED_TRACE(seed);
    Model model(seed);
    model.play(1000);
    refusals += model.refusals_;
  }
  EXPECT_GT(refusals, 0) << "the pool never ran out";
}

}  // namespace
}  // namespace hotaru
