#include "device/kv_pool.h"

#include <gtest/gtest.h>

#include <set>

namespace hotaru {
namespace {

TEST(KvPool, PagesComeAndGo) {
  KvPool pool = *KvPool::create(4096, 4);
  EXPECT_EQ(pool.capacity_tokens(), 256);
  const int a = *pool.create_context();
  const int b = *pool.create_context();
  ASSERT_TRUE(pool.reserve(a, 65).ok());
  ASSERT_TRUE(pool.reserve(b, 64).ok());
  EXPECT_EQ(pool.reserved_tokens(a), 128);
  EXPECT_EQ(pool.reserved_tokens(b), 64);
  std::set<std::byte*> distinct = {pool.pages(a)[0], pool.pages(a)[1], pool.pages(b)[0]};
  EXPECT_EQ(distinct.size(), 3U);
  const auto refused = pool.reserve(b, 200);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kNoMemory);
  EXPECT_EQ(pool.reserved_tokens(b), 128) << "pages already taken stay";
  pool.truncate(a, 64);
  EXPECT_TRUE(pool.reserve(b, 192).ok());
  pool.destroy_context(b);
  EXPECT_TRUE(pool.reserve(a, 256).ok());
}

TEST(KvPool, SlotsRunOut) {
  KvPool pool = *KvPool::create(64, 1);
  for (int i = 0; i < KvPool::kMaxContexts; i++) ASSERT_TRUE(pool.create_context().ok());
  EXPECT_FALSE(pool.create_context().ok());
  pool.destroy_context(7);
  EXPECT_EQ(*pool.create_context(), 7);
}

}  // namespace
}  // namespace hotaru
