#include "compiler/residual_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <numeric>

namespace hotaru {
namespace {

using testing::HasSubstr;

std::string temporary() { return std::filesystem::temp_directory_path().string(); }

std::vector<float> numbers(size_t count, float first) {
  std::vector<float> values(count);
  std::iota(values.begin(), values.end(), first);
  return values;
}

// Rows written in pieces come back in pieces of other sizes.
void write_and_read(ResidualStore& store, size_t begin) {
  ASSERT_TRUE(store.write({begin, 3}, numbers(3 * store.width(), 1)).ok());
  ASSERT_TRUE(store.write({begin + 3, 2}, numbers(2 * store.width(), 1 + 3 * static_cast<float>(store.width()))).ok());
  std::vector<float> rows(1, -1);
  ASSERT_TRUE(store.read({begin, 5}, rows).ok());
  EXPECT_EQ(rows, numbers(5 * store.width(), 1));
  ASSERT_TRUE(store.read({begin + 2, 2}, rows).ok());
  EXPECT_EQ(rows, numbers(2 * store.width(), 1 + 2 * static_cast<float>(store.width())));
}

TEST(ResidualStore, KeepsRowsInMemory) {
  auto store = ResidualStore::create(100, 64, "no/such/folder");
  ASSERT_TRUE(store.ok()) << store.error().message;
  write_and_read(*store, 0);
  write_and_read(*store, 95);
  ResidualStore moved = *std::move(store);
  EXPECT_EQ(moved.tokens(), 100U);
  write_and_read(moved, 7);
}

// 512 MiB, of which the file holds a few pages.
constexpr size_t kManyTokens = size_t{1} << 20;
constexpr size_t kWidth = 128;

TEST(ResidualStore, KeepsManyRowsInAFile) {
  auto store = ResidualStore::create(kManyTokens, kWidth, temporary());
  ASSERT_TRUE(store.ok()) << store.error().message;
  write_and_read(*store, 0);
  write_and_read(*store, kManyTokens - 5);
  ResidualStore moved = *std::move(store);
  std::vector<float> rows;
  ASSERT_TRUE(moved.read({kManyTokens - 5, 1}, rows).ok());
  EXPECT_EQ(rows, numbers(kWidth, 1));
}

TEST(ResidualStore, SaysWhereThereIsNoRoom) {
  const auto store = ResidualStore::create(kManyTokens, kWidth, "no/such/folder");
  ASSERT_FALSE(store.ok());
  EXPECT_THAT(store.error().message, HasSubstr("no/such/folder: no room for calibration: No such file"));
}

// A limit on file sizes stands for a full disk.
TEST(ResidualStore, AFullDiskIsAnError) {
  auto store = ResidualStore::create(kManyTokens, kWidth, temporary());
  ASSERT_TRUE(store.ok()) << store.error().message;
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1 << 20, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto written = store->write({kManyTokens - 1, 1}, numbers(kWidth, 0));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(written.ok());
  EXPECT_THAT(written.error().message, HasSubstr("calibration rows cannot be written: File too large"));
}

}  // namespace
}  // namespace hotaru
