#include "genai/saved_context.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/file.h"
#include "format/container_layout.h"
#include "genai/fake_device.h"
#include "genai/sampler.h"
#include "genai/stored_logits.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

using testing::AllOf;
using testing::HasSubstr;

const std::string kDemo = std::string(HOTARU_SOURCE_DIR) + "/tests/data/hef/demo-v1.hef";

CutReply some_reply() {
  CutReply cut;
  cut.sampling.temperature = 0.7F;
  cut.sampling.top_k = 20;
  cut.sampling.top_p = 0.9F;
  cut.sampling.min_p = 0.01F;
  cut.sampling.repetition_penalty = 1.2F;
  cut.sampling.frequency_penalty = 0.3F;
  cut.sampling.presence_penalty = 0.4F;
  cut.sampling.logit_bias = {{3, -1.5F}, {4, 2.0F}};
  cut.sampling.seed = 0x123456789abcdef0U;
  cut.stop_ids = {1, 2};
  cut.recovery_ids = {2, 9};
  cut.stop = {"\n\n", "User:"};
  cut.continues_text = true;
  cut.generated = {5, 6, 7};
  cut.recovery_tokens = 2;
  cut.grammar = {GrammarSpec::Kind::kRegex, "a+"};
  return cut;
}

class SavedContext : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + fmt::format("hotaru_saved_context_{}.ctx", ::getpid());
    device_.set_adapters({"holmes", "fairytale"});
  }
  void TearDown() override { std::filesystem::remove(path_); }

  // 100 tokens stored, 3 pending.
  Context make(int adapter = kNoAdapter) {
    Context context = *Context::create(device_, adapter);
    context.append(count_up(100));
    stored_logits(context);
    context.append(count_up(3));
    return context;
  }
  void save(const Context& context, const std::optional<CutReply>& cut = std::nullopt) {
    const Result<void> saved = save_context(context, cut, {"demo", "a chat"}, path_);
    ASSERT_TRUE(saved.ok()) << saved.error().message;
  }
  std::string refusal(Device& device, std::string_view model_name = "demo") {
    const int free_pages = device.free_pages();
    const Result<RestoredContext> loaded = load_context(device, model_name, path_);
    EXPECT_EQ(device.free_pages(), free_pages);
    return loaded ? "accepted" : loaded.error().message;
  }
  std::vector<std::byte> bytes() {
    const auto file = *MappedFile::open(path_);
    return {file.bytes().begin(), file.bytes().end()};
  }

  FakeDevice device_{64, 256, 16};
  std::string path_;
};

TEST_F(SavedContext, GoesOnInAnotherDevice) {
  for (const int adapter : {kNoAdapter, 1}) {
    SCOPED_TRACE(adapter);
    Context context = make(adapter);
    save(context, some_reply());
    FakeDevice other(64, 256, 16);
    other.set_adapters({"another", "fairytale"});  // its number is not part of the file
    other.set_hashes(device_.info().model_hash, {7, device_.info().adapter_hashes[1]});
    Result<RestoredContext> loaded = load_context(other, "demo", path_);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    EXPECT_EQ(loaded->host_state, "a chat");
    EXPECT_EQ(loaded->context.ids(), context.ids());
    EXPECT_EQ(loaded->context.stored_tokens(), 100);
    EXPECT_EQ(loaded->context.adapter(), adapter);
    EXPECT_EQ(stored_logits(loaded->context), stored_logits(context));
    EXPECT_EQ(other.stepped_tokens(), 3);
  }
}

TEST_F(SavedContext, KeepsTheCutReply) {
  save(make(), some_reply());
  const Result<RestoredContext> loaded = load_context(device_, "demo", path_);
  ASSERT_TRUE(loaded.ok() && loaded->cut);
  const CutReply wanted = some_reply();
  const CutReply& cut = *loaded->cut;
  EXPECT_EQ(cut.sampling.temperature, wanted.sampling.temperature);
  EXPECT_EQ(cut.sampling.top_k, wanted.sampling.top_k);
  EXPECT_EQ(cut.sampling.top_p, wanted.sampling.top_p);
  EXPECT_EQ(cut.sampling.min_p, wanted.sampling.min_p);
  EXPECT_EQ(cut.sampling.repetition_penalty, wanted.sampling.repetition_penalty);
  EXPECT_EQ(cut.sampling.frequency_penalty, wanted.sampling.frequency_penalty);
  EXPECT_EQ(cut.sampling.presence_penalty, wanted.sampling.presence_penalty);
  EXPECT_EQ(cut.sampling.seed, wanted.sampling.seed);
  ASSERT_EQ(cut.sampling.logit_bias.size(), 2U);
  EXPECT_EQ(cut.sampling.logit_bias[1].id, 4);
  EXPECT_EQ(cut.sampling.logit_bias[1].bias, 2.0F);
  EXPECT_EQ(cut.stop_ids, wanted.stop_ids);
  EXPECT_EQ(cut.recovery_ids, wanted.recovery_ids);
  EXPECT_EQ(cut.stop, wanted.stop);
  EXPECT_EQ(cut.continues_text, wanted.continues_text);
  EXPECT_EQ(cut.generated, wanted.generated);
  EXPECT_EQ(cut.recovery_tokens, wanted.recovery_tokens);
  ASSERT_TRUE(cut.grammar);
  EXPECT_EQ(cut.grammar->kind, wanted.grammar->kind);
  EXPECT_EQ(cut.grammar->text, wanted.grammar->text);
  save(make());
  EXPECT_FALSE(load_context(device_, "demo", path_)->cut);
}

TEST_F(SavedContext, SavingWhatWasLoadedGivesTheSameFile) {
  save(make(), some_reply());
  const std::vector<std::byte> first = bytes();
  FakeDevice other(64, 256, 16);
  const Result<RestoredContext> loaded = load_context(other, "demo", path_);
  ASSERT_TRUE(loaded.ok());
  ASSERT_TRUE(save_context(loaded->context, loaded->cut, {"demo", loaded->host_state}, path_).ok());
  EXPECT_EQ(bytes(), first);
}

TEST_F(SavedContext, AnEmptyContextIsAFileToo) {
  save(*Context::create(device_));
  const Result<RestoredContext> loaded = load_context(device_, "demo", path_);
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  EXPECT_TRUE(loaded->context.ids().empty());
}

TEST_F(SavedContext, AnotherModelIsRefusedWithBothNames) {
  save(make());
  FakeDevice other(64, 256, 16);
  other.set_hashes(0xbad, {});
  EXPECT_THAT(refusal(other, "storyteller"), HasSubstr("saved with another model: got 'demo' (000000000000fa4e), this "
                                                       "is 'storyteller' (0000000000000bad)"));
}

TEST_F(SavedContext, AnotherAdapterIsRefusedWithBothNames) {
  save(make(0));
  FakeDevice changed(64, 256, 16);
  changed.set_adapters({"holmes"});
  changed.set_hashes(device_.info().model_hash, {0xbad});
  EXPECT_THAT(refusal(changed), HasSubstr("saved under another adapter 'holmes': got 000000000000ada0, the model's "
                                          "'holmes' is 0000000000000bad"));
  FakeDevice without(64, 256, 16);
  without.set_adapters({"fairytale"});
  EXPECT_THAT(refusal(without), AllOf(HasSubstr("saved under adapter 'holmes'"), HasSubstr("there are: fairytale")));
}

TEST_F(SavedContext, WhatTheDeviceCannotHoldIsRefused) {
  save(make());
  FakeDevice small(64, 90, 16);
  EXPECT_THAT(refusal(small), HasSubstr("got 100 stored tokens, the device's contexts have at most 90"));
  FakeDevice full(64, 256, 16);
  full.set_free_pages(1);
  const Result<RestoredContext> loaded = load_context(full, "demo", path_);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.error().kind, ErrorKind::kNoMemory);
  EXPECT_THAT(loaded.error().message, HasSubstr("KV cache full: 100 tokens wanted"));
  EXPECT_EQ(full.free_pages(), 1);
  FakeDevice narrow(60, 256, 16);
  EXPECT_THAT(refusal(narrow), HasSubstr("ids: got the token id 63, want 0 to 59"));
}

TEST_F(SavedContext, AReplyThatCannotBeIsRefused) {
  CutReply cut = some_reply();
  cut.sampling.top_p = 2.0F;
  save(make(), cut);
  EXPECT_THAT(refusal(device_), AllOf(HasSubstr("cut reply"), HasSubstr("top_p")));
  cut = some_reply();
  cut.generated = {5, 64};
  save(make(), cut);
  EXPECT_THAT(refusal(device_), HasSubstr("cut reply: got the token id 64"));
}

TEST_F(SavedContext, ALaterFormatIsRefused) {
  save(make());
  std::vector<std::byte> file = bytes();
  store_field(std::span(file), kMajorAt, uint16_t{2});
  const auto covered = std::span<const std::byte>(file).first(kPageBytes - kHeaderChecksumBytes);
  store_field(std::span(file), covered.size(), checksum_of(covered));
  const Result<RestoredContext> loaded = load_context(device_, "demo", file, "x.ctx");
  ASSERT_FALSE(loaded.ok());
  EXPECT_THAT(loaded.error().message, HasSubstr("x.ctx: got format version 2.0, want 1.x"));
}

TEST_F(SavedContext, DamageIsRefusedAndTheLiveContextStays) {
  Context live = make();
  save(live, some_reply());
  const std::vector<std::byte> good = bytes();
  const int free_pages = device_.free_pages();
  Random random(7);
  for (int i = 0; i < 1000; i++) {
    std::vector<std::byte> file = good;
    const uint32_t place = random.next_below(static_cast<uint32_t>(file.size()));
    file[place] ^= static_cast<std::byte>(1U << random.next_below(8));
    ASSERT_FALSE(load_context(device_, "demo", file, "x.ctx").ok()) << "byte " << place;
  }
  for (size_t size = 0; size < good.size(); size += 61) {
    ASSERT_FALSE(load_context(device_, "demo", std::span(good).first(size), "x.ctx").ok()) << size << " bytes";
  }
  EXPECT_EQ(device_.free_pages(), free_pages);
  EXPECT_EQ(device_.contexts(), 1);
  Context alone = *Context::create(device_);
  alone.append(live.ids());
  EXPECT_EQ(stored_logits(live), stored_logits(alone));
}

TEST_F(SavedContext, NothingIsWrittenWhereNothingCanBe) {
  const Result<void> saved = save_context(make(), std::nullopt, {"demo", ""}, "/nonexistent/folder/x.ctx");
  ASSERT_FALSE(saved.ok());
  EXPECT_THAT(saved.error().message, HasSubstr("/nonexistent/folder"));
}

// The demo's ids and a real device: pages made by one instruction set are read by another.
class SavedDemoContext : public SavedContext {
 protected:
  static std::unique_ptr<Device> open(Isa isa, int threads) {
    DeviceOptions options;
    options.isa = isa;
    options.threads = threads;
    auto device = Device::open(kDemo, options);
    EXPECT_TRUE(device.ok()) << device.error().message;
    return *std::move(device);
  }
  static std::vector<int32_t> go_on(Context& context, Sampler& sampler, int tokens) {
    std::vector<int32_t> ids;
    for (int i = 0; i < tokens; i++) {
      ids.push_back(sampler.sample(stored_logits(context)));
      context.append({&ids.back(), 1});
    }
    return ids;
  }
};

TEST_F(SavedDemoContext, AReplyGoesOnUnderAnotherInstructionSet) {
  constexpr int kPrompt = 70;
  constexpr int kReply = 40;
  CutReply cut;
  cut.sampling.temperature = 0.9F;
  cut.sampling.repetition_penalty = 1.1F;
  cut.sampling.seed = 42;
  const auto device = open(best_isa(), 2);
  Context whole = *Context::create(*device);
  whole.append(count_up(kPrompt));
  Sampler sampler(cut.sampling, device->info().vocabulary);
  const std::vector<int32_t> wanted = go_on(whole, sampler, kReply);
  const auto reference = open(Isa::kRef, 1);
  for (const int saved_at : {0, 1, 20, 39}) {
    Context context = *Context::create(*device);
    context.append(count_up(kPrompt));
    Sampler first(cut.sampling, device->info().vocabulary);
    cut.generated = go_on(context, first, saved_at);
    save(context, cut);
    Result<RestoredContext> loaded = load_context(*reference, "demo", path_);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    Sampler second(loaded->cut->sampling, reference->info().vocabulary);
    for (const int32_t id : loaded->cut->generated) second.skip(id);
    std::vector<int32_t> ids = loaded->cut->generated;
    for (const int32_t id : go_on(loaded->context, second, kReply - saved_at)) ids.push_back(id);
    EXPECT_EQ(ids, wanted) << saved_at;
  }
}

TEST_F(SavedDemoContext, TheFileIsAsLargeAsItsPages) {
  const auto device = open(best_isa(), 2);
  Context context = *Context::create(*device);
  for (const int tokens : {64, 500}) {
    std::vector<int32_t> ids = count_up(tokens);
    context.replace(ids);
    stored_logits(context);
    save(context);
    const uint64_t pages = static_cast<uint64_t>((tokens + 63) / 64) * device->info().page_bytes;
    EXPECT_LE(std::filesystem::file_size(path_), pages + pages / 50 + 3 * kPageBytes);
  }
  const double overhead =
      static_cast<double>(std::filesystem::file_size(path_)) / static_cast<double>(8 * device->info().page_bytes);
  EXPECT_LT(overhead, 1.02);
}

}  // namespace
}  // namespace hotaru
