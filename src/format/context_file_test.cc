#include "format/context_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "format/file_test_base.h"
#include "format/sample_context.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

// What is said about the sample after `change`; "accepted" if nothing is wrong.
std::string refusal(const std::function<void(SampleContext&)>& change) {
  SampleContext sample;
  change(sample);
  const auto file = sample.pack();
  const auto context = ContextFile::from_bytes(file, "x.ctx");
  return context ? "accepted" : context.error().message;
}

class ContextFileTest : public FileTestBase {};

TEST_F(ContextFileTest, WhatIsWrittenIsRead) {
  const SampleContext sample;
  const std::string file = path("x.ctx");
  const auto page_of = [&](int page) { return std::span(sample.pages).subspan(static_cast<size_t>(page) * 256, 256); };
  ASSERT_TRUE(write_context_file(file, sample.meta, "chat", [&](int page, std::span<std::byte> bytes) {
                std::ranges::copy(page_of(page), bytes.begin());
              }).ok());
  EXPECT_EQ(read_bytes(file).size(), sample.pack().size());
  const auto context = ContextFile::open(file);
  ASSERT_TRUE(context.ok()) << context.error().message;
  EXPECT_TRUE(std::ranges::equal(context->ids(), sample.meta.ids));
  EXPECT_EQ(context->host_state(), "chat");
  ASSERT_EQ(context->page_count(), 2);
  for (int page = 0; page < 2; page++) EXPECT_TRUE(std::ranges::equal(context->page(page), page_of(page)));
  fb::SavedContextT meta;
  context->meta().UnPackTo(&meta);
  EXPECT_EQ(meta, sample.meta);
}

TEST_F(ContextFileTest, ThePagesFollowEachOtherAtTheEnd) {
  const SampleContext sample;
  const std::vector<std::byte> file = sample.pack();
  EXPECT_TRUE(std::ranges::equal(std::span(file).last(512), sample.pages)) << "the layout of context_file.h";
}

TEST(ContextFile, EveryLengthIsChecked) {
  EXPECT_EQ(refusal([](SampleContext&) {}), "accepted");
  EXPECT_THAT(refusal([](SampleContext& s) { s.meta.stored_tokens = 101; }), HasSubstr("101 stored tokens of 100 ids"));
  EXPECT_THAT(refusal([](SampleContext& s) { s.meta.stored_tokens = 64; }),
              HasSubstr("section 'pages': got 512 bytes, 64 tokens take 256"));
  EXPECT_THAT(refusal([](SampleContext& s) { s.pages.pop_back(); }), HasSubstr("got 511 bytes, 98 tokens take 512"));
  EXPECT_THAT(refusal([](SampleContext& s) { s.meta.page_tokens = 0; }), HasSubstr("pages of 0 tokens"));
  EXPECT_THAT(refusal([](SampleContext& s) { s.meta.page_bytes = 0; }), HasSubstr("pages of 0 bytes"));
  EXPECT_THAT(refusal([](SampleContext& s) { s.meta.page_bytes = uint64_t{1} << 63; }), HasSubstr("want 1 to"));
  EXPECT_THAT(refusal([](SampleContext& s) { s.meta.cut_reply->sampling.reset(); }),
              HasSubstr("its sampling is missing"));
  EXPECT_THAT(refusal([](SampleContext& s) { s.meta.cut_reply->recovery_tokens = 3; }),
              HasSubstr("got 3 recovery tokens, its sequence has 2"));
  EXPECT_THAT(refusal([](SampleContext& s) {
                s.meta.ids = {1};
                s.meta.stored_tokens = 1;
                s.pages.resize(256);
                s.meta.cut_reply->recovery_tokens = 2;
              }),
              HasSubstr("got 2 recovery tokens at the end of 1 ids"));
}

TEST(ContextFile, OtherKindsOfFileAreNamed) {
  const auto hef = SampleHef().pack();
  const auto as_context = ContextFile::from_bytes(hef, "m.hef");
  ASSERT_FALSE(as_context.ok());
  EXPECT_THAT(as_context.error().message, HasSubstr("m.hef: got a HEF, want a context file"));
  const auto context = SampleContext().pack();
  const auto as_hef = HefFile::from_bytes(context, "x.ctx");
  ASSERT_FALSE(as_hef.ok());
  EXPECT_EQ(as_hef.error().message, "x.ctx: got a context file, want a HEF");
}

}  // namespace
}  // namespace hotaru
