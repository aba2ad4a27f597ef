#include "server/store/model_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "server/store/store_folder.h"

namespace hotaru::server {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

// True as soon as `is_so` is, within 5 s.
template <typename IsSo>
bool eventually(IsSo is_so) {
  for (int i = 0; i < 2500; i++) {
    if (is_so()) return true;
    std::this_thread::sleep_for(2ms);
  }
  return false;
}

class ModelPoolTest : public ::testing::Test {
 protected:
  ModelPoolTest() : store_(folder_.open()) {
    folder_.write("one.hef", tiny_hef({"a"}, 1));
    folder_.write("two.hef", tiny_hef({}, 2));
    folder_.write("three.hef", tiny_hef({}, 3));
    options_.threads = 1;
  }
  std::unique_ptr<ModelPool> make_pool() { return ModelPool::create(store_, options_); }
  uint64_t device_bytes() { return make_pool()->acquire("one")->engine->model().device().info().total_bytes; }
  StoreFolder folder_;
  ModelStore store_;
  ModelPoolOptions options_;
};

TEST_F(ModelPoolTest, LinksAdaptersAndMadeModelsShareAnEngine) {
  ASSERT_TRUE(store_.copy("one", "twin").ok());
  ASSERT_TRUE(store_.copy("one:a", "made").ok());
  const auto pool = make_pool();
  const Result<ModelLease> one = pool->acquire("one");
  ASSERT_TRUE(one.ok()) << one.error().message;
  EXPECT_GT(one->load_time.count(), 0);
  EXPECT_EQ(one->adapter, kNoAdapter);
  for (const char* name : {"one:latest", "twin", "one:a", "made"}) {
    const Result<ModelLease> other = pool->acquire(name);
    ASSERT_TRUE(other.ok()) << other.error().message;
    EXPECT_EQ(other->engine, one->engine) << name;
    EXPECT_EQ(other->load_time.count(), 0);
    EXPECT_EQ(other->adapter, other->stored.adapter == "a" ? 0 : kNoAdapter);
  }
  EXPECT_NE(pool->acquire("two")->engine, one->engine);
  const std::vector<LoadedModel> loaded = pool->loaded();
  ASSERT_THAT(loaded, SizeIs(2));
  EXPECT_EQ(loaded[0].users, 1);
  EXPECT_EQ(loaded[0].context_tokens, 128);
  EXPECT_EQ(loaded[0].device_bytes, loaded[0].device.total_bytes);
  EXPECT_EQ(pool->acquire("nowhere").error().kind, ErrorKind::kNotFound);
}

TEST_F(ModelPoolTest, AReplacedFileIsLoadedAnew) {
  const auto pool = make_pool();
  const Result<ModelLease> before = pool->acquire("one");
  ASSERT_TRUE(store_.remove("one").ok());
  folder_.write("one.hef", tiny_hef({}, 9));
  const Result<ModelLease> after = pool->acquire("one");
  EXPECT_NE(before->engine, after->engine);
  EXPECT_EQ(after->engine->model().name(), "tiny9");
  EXPECT_EQ(before->engine->model().name(), "tiny1");
}

TEST_F(ModelPoolTest, ManyAtOnceWaitForOneLoad) {
  const auto pool = make_pool();
  std::vector<std::thread> threads;
  std::vector<ModelLease> leases(16);
  for (ModelLease& lease : leases) {
    threads.emplace_back([&] { lease = *pool->acquire("one"); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const ModelLease& lease : leases) EXPECT_EQ(lease.engine, leases[0].engine);
  EXPECT_EQ(pool->loaded()[0].users, 16);
  leases.clear();
  EXPECT_EQ(pool->loaded()[0].users, 0);
}

TEST_F(ModelPoolTest, ALoadThatFailsIsToldToAllWhoWait) {
  folder_.write("broken.hef", "HOTARUHE and no more");
  const auto pool = make_pool();
  std::vector<std::thread> threads;
  std::atomic<int> failures = 0;
  for (int i = 0; i < 8; i++) {
    threads.emplace_back([&] { failures += pool->acquire("broken").ok() ? 0 : 1; });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failures, 8);
  EXPECT_THAT(pool->loaded(), IsEmpty());
}

TEST_F(ModelPoolTest, KeepAliveBeginsWhenTheLastUserGoes) {
  const auto pool = make_pool();
  {
    const Result<ModelLease> lease = pool->acquire("one", 30ms);
    std::this_thread::sleep_for(60ms);
    ASSERT_THAT(pool->loaded(), SizeIs(1));
    ASSERT_TRUE(pool->loaded()[0].expires_at.has_value());
  }
  EXPECT_TRUE(eventually([&] { return pool->loaded().empty(); }));
  ASSERT_TRUE(pool->acquire("one", 0ms).ok());
  EXPECT_TRUE(eventually([&] { return pool->loaded().empty(); }));
  ASSERT_TRUE(pool->acquire("one", -1ms).ok());
  ASSERT_TRUE(pool->acquire("two", 10min).ok());
  std::this_thread::sleep_for(20ms);
  const std::vector<LoadedModel> loaded = pool->loaded();
  ASSERT_THAT(loaded, SizeIs(2));
  EXPECT_FALSE(loaded[0].expires_at.has_value());
  const auto left = *loaded[1].expires_at - std::chrono::system_clock::now();
  EXPECT_GT(left, 9min);
  EXPECT_LE(left, 10min);
  // What an earlier request said holds for one that says nothing.
  ASSERT_TRUE(pool->acquire("one").ok());
  EXPECT_FALSE(pool->loaded()[0].expires_at.has_value());
}

TEST_F(ModelPoolTest, UnloadWaitsForTheLastUser) {
  const auto pool = make_pool();
  EXPECT_FALSE(pool->unload("one"));
  EXPECT_FALSE(pool->unload("../one"));
  Result<ModelLease> lease = pool->acquire("one");
  ASSERT_TRUE(store_.remove("one").ok());
  EXPECT_TRUE(pool->unload("one"));
  std::this_thread::sleep_for(20ms);
  EXPECT_THAT(pool->loaded(), SizeIs(1));
  EXPECT_EQ(lease->engine->model().name(), "tiny1");
  *lease = ModelLease();
  EXPECT_TRUE(eventually([&] { return pool->loaded().empty(); }));
}

TEST_F(ModelPoolTest, TheLongestUnusedMakesRoom) {
  options_.memory_bytes = device_bytes() * 5 / 2;
  const auto pool = make_pool();
  ASSERT_TRUE(pool->acquire("one", -1ms).ok());
  ASSERT_TRUE(pool->acquire("two", -1ms).ok());
  ASSERT_TRUE(pool->acquire("one").ok());
  ASSERT_TRUE(pool->acquire("three", -1ms).ok());
  std::set<std::string> names;
  for (const LoadedModel& model : pool->loaded()) names.insert(model.stored.name.name);
  EXPECT_EQ(names, (std::set<std::string>{"one", "three"}));
  const Result<ModelLease> one = pool->acquire("one");
  const Result<ModelLease> three = pool->acquire("three");
  const Result<ModelLease> refused = pool->acquire("two");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kNoMemory);
  EXPECT_THAT(refused.error().message, HasSubstr(fmt::format("needs {} bytes", device_bytes())));
  const uint64_t there = options_.memory_bytes - 2 * device_bytes();
  EXPECT_THAT(refused.error().message, HasSubstr(fmt::format("available are {} bytes", there)));
  EXPECT_THAT(pool->loaded(), SizeIs(2));
}

TEST_F(ModelPoolTest, AModelLargerThanTheBudgetTakesNobodysPlace) {
  options_.memory_bytes = device_bytes() - 1;
  const auto pool = make_pool();
  EXPECT_EQ(pool->acquire("one").error().kind, ErrorKind::kNoMemory);
  EXPECT_EQ(pool->acquire("one").error().kind, ErrorKind::kNoMemory);
}

TEST_F(ModelPoolTest, ShutDownWaitsForUsersAndRefusesNewOnes) {
  auto pool = make_pool();
  std::optional<ModelLease> lease = *pool->acquire("one");
  const auto start = std::chrono::steady_clock::now();
  pool->shut_down(30ms);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 30ms);
  EXPECT_EQ(pool->acquire("one").error().kind, ErrorKind::kBusy);
  std::thread leaver([&] {
    std::this_thread::sleep_for(20ms);
    lease.reset();
  });
  pool->shut_down(10s);
  EXPECT_LT(std::chrono::steady_clock::now() - start, 5s);
  leaver.join();
}

TEST_F(ModelPoolTest, ALeaseOutlivesThePool) {
  auto pool = make_pool();
  Result<ModelLease> lease = pool->acquire("one");
  pool.reset();
  EXPECT_EQ(lease->engine->model().name(), "tiny1");
}

// Users that come and go in a budget for two of three models, while others look and unload.
TEST_F(ModelPoolTest, Storm) {
  options_.memory_bytes = device_bytes() * 5 / 2;
  const auto pool = make_pool();
  std::vector<std::thread> threads;
  std::atomic<int> served = 0;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 6; t++) {
    threads.emplace_back([&, t] {
      const char* names[] = {"one", "two", "three"};
      for (int i = 0; i < 60; i++) {
        const int which = (i * 7 + t) % 3;
        const Result<ModelLease> lease = pool->acquire(names[which], KeepAlive((i + t) % 3 - 1));
        if (!lease) {
          wrong += lease.error().kind == ErrorKind::kNoMemory ? 0 : 1;
          continue;
        }
        served++;
        wrong += lease->engine->model().name() == fmt::format("tiny{}", which + 1) ? 0 : 1;
        if (i % 10 == 0) pool->unload(names[which]);
        uint64_t bytes = 0;
        for (const LoadedModel& model : pool->loaded()) bytes += model.device_bytes;
        wrong += bytes <= options_.memory_bytes ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(served, 60);
}

TEST(KeepAlive, NumbersAndDurations) {
  const auto parsed = [](const Json& value) { return parse_keep_alive(value)->count(); };
  EXPECT_EQ(parsed(300), 300'000);
  EXPECT_EQ(parsed(0), 0);
  EXPECT_EQ(parsed(0.5), 500);
  EXPECT_LT(parsed(-1), 0);
  EXPECT_LT(parsed(1e300), 0);
  EXPECT_EQ(parsed("5m"), 300'000);
  EXPECT_EQ(parsed("1h30m"), 5'400'000);
  EXPECT_EQ(parsed("250ms"), 250);
  EXPECT_EQ(parsed("0"), 0);
  EXPECT_EQ(parsed("-0s"), 0);
  EXPECT_LT(parsed("-1"), 0);
  EXPECT_LT(parsed("-1m"), 0);
  for (const Json& bad : {Json("soon"), Json(""), Json("-"), Json("5x"), Json(true), Json::array(), Json::object()}) {
    EXPECT_EQ(parse_keep_alive(bad).error().kind, ErrorKind::kInvalid) << bad;
  }
}

}  // namespace
}  // namespace hotaru::server
