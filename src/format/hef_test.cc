#include "format/hef.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "format/file_test_base.h"
#include "format/sample_hef.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

using ::testing::HasSubstr;

// What is said about the sample after `change`; "accepted" if nothing is wrong.
std::string refusal(const std::function<void(SampleHef&)>& change) {
  SampleHef sample;
  change(sample);
  const auto file = sample.pack();
  const auto hef = HefFile::from_bytes(file, "m.hef");
  return hef ? "accepted" : hef.error().message;
}

TEST(Hef, SampleOpens) {
  const SampleHef sample;
  const auto file = sample.pack();
  const auto hef = HefFile::from_bytes(file, "m.hef");
  ASSERT_TRUE(hef.ok()) << hef.error().message;
  EXPECT_EQ(hef->meta().shape()->width(), 32U);
  EXPECT_EQ(hef->weight_bytes(), sample.weights.size());
  EXPECT_EQ(hef->find_program("tbt")->max_rows(), 2U);
  EXPECT_EQ(hef->find_program("other"), nullptr);
  EXPECT_EQ(hef->find_adapter("any"), nullptr);
  EXPECT_EQ(hef->tensor_bytes(0).size(), packed_int8_size(40, 32));
  EXPECT_EQ(pack_meta(sample.meta), pack_meta(SampleHef().meta));
}

TEST(Hef, PoolAndNoChecksumsGiveTheSame) {
  auto file = SampleHef().pack();
  ThreadPool pool(2);
  EXPECT_TRUE(HefFile::from_bytes(file, "m.hef", {&pool, true}).ok());
  file[kPageBytes - 1] ^= std::byte{1};
  EXPECT_FALSE(HefFile::from_bytes(file, "m.hef", {&pool, true}).ok());
  EXPECT_TRUE(HefFile::from_bytes(file, "m.hef", {nullptr, false}).ok());
}

// One bit of every byte; container_test.cc tries all bits of a smaller file.
TEST(Hef, AFlippedBitInAnyByteIsRefused) {
  auto file = SampleHef().pack();
  for (size_t i = 0; i < file.size(); i++) {
    const auto bit = static_cast<std::byte>(1U << (i % 8));
    file[i] ^= bit;
    ASSERT_FALSE(HefFile::from_bytes(file, "m.hef").ok()) << "byte " << i;
    file[i] ^= bit;
  }
}

// Behind the checksums: damage that a hostile writer would sign. It opens or is refused; sanitizers watch.
TEST(Hef, ThousandSignedDamagesNeverCrash) {
  const SampleHef sample;
  const std::vector<std::byte> good = pack_meta(sample.meta);
  Random random(4);
  int refused = 0;
  for (int i = 0; i < 1000; i++) {
    std::vector<std::byte> meta = good;
    const uint32_t flips = 1 + random.next_below(4);
    for (uint32_t f = 0; f < flips; f++) {
      meta[random.next_below(static_cast<uint32_t>(meta.size()))] ^= static_cast<std::byte>(1U << random.next_below(8));
    }
    if (i % 4 == 0) meta.resize(random.next_below(static_cast<uint32_t>(meta.size())));
    const auto file =
        pack_container(FileKind::kHef, {{SectionType::kMeta, meta}, {SectionType::kWeights, sample.weights}});
    const auto hef = HefFile::from_bytes(file, "m.hef");
    if (!hef) refused++;
    ASSERT_TRUE(hef.ok() || hef.error().message.starts_with("m.hef: ")) << hef.error().message;
  }
  EXPECT_GT(refused, 400);
}

TEST(Hef, MissingSectionsAreNamed) {
  const SampleHef sample;
  const auto meta = pack_meta(sample.meta);
  const auto message = [](const std::vector<std::byte>& file) {
    return HefFile::from_bytes(file, "m").error().message;
  };
  EXPECT_THAT(message(pack_container(FileKind::kHef, {{SectionType::kMeta, meta}})),
              HasSubstr("'weights' section is missing"));
  EXPECT_THAT(message(pack_container(FileKind::kHef, {})), HasSubstr("'meta' section is missing"));
  EXPECT_THAT(message(pack_container(FileKind::kHef, {{SectionType::kMeta, bytes_of("12345678")}})),
              HasSubstr("malformed"));
  EXPECT_THAT(message(pack_container(FileKind::kHef, {{SectionType::kMeta, bytes_of("1")}})), HasSubstr("has 1 bytes"));
}

TEST(Hef, UnknownFeatureIsRefusedByName) {
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.required_features = {"telepathy"}; }),
              HasSubstr("feature 'telepathy'"));
}

TEST(Hef, TensorsStayInsideTheirSection) {
  const auto with = [](const std::function<void(fb::TensorT&)>& change) {
    return refusal([&](SampleHef& s) { change(*s.meta.tensors.back()); });
  };
  EXPECT_THAT(with([](auto& t) { t.offset += 64; }), HasSubstr("lie outside the section"));
  EXPECT_THAT(with([](auto& t) { t.offset = UINT64_MAX - 63; }), HasSubstr("lie outside the section"));
  EXPECT_THAT(with([](auto& t) { t.offset -= 4; }), HasSubstr("not a multiple of 64"));
  EXPECT_THAT(with([](auto& t) { t.bytes += 4; }), HasSubstr("want 160"));
  EXPECT_THAT(with([](auto& t) { t.shape = {}; }), HasSubstr("dimensions"));
  EXPECT_THAT(with([](auto& t) { t.shape = {0}; }), HasSubstr("extent of 0"));
  EXPECT_THAT(with([](auto& t) { t.shape = {1 << 24, 1 << 24, 1 << 24, 1 << 24}; }), HasSubstr("overflows"));
  EXPECT_THAT(with([](auto& t) { t.shape = {uint64_t{1} << 40}; }), HasSubstr("extent of"));
  EXPECT_THAT(with([](auto& t) { t.layout = static_cast<fb::Layout>(99); }), HasSubstr("layout 99 is unknown"));
  EXPECT_THAT(with([](auto& t) {
                t.layout = fb::Layout::PackedInt4;
                t.shape = {16, 33};
              }),
              HasSubstr("multiple of 32"));
}

TEST(Hef, NumbersAreFinite) {
  EXPECT_THAT(refusal([](SampleHef& s) {
                const float nan = std::numeric_limits<float>::quiet_NaN();
                std::memcpy(s.weights.data() + s.meta.tensors.back()->offset, &nan, sizeof(nan));
              }),
              HasSubstr("tensor 'head.scale': value 0 is not finite"));
}

TEST(Hef, MultipliersAreBounded) {
  const auto change = [](SampleHef& s) {
    for (const auto& tensor : s.meta.tensors) {
      if (tensor->layout == fb::Layout::PackedInt4) s.weights[tensor->offset + tensor->bytes - 1] = std::byte{16};
    }
  };
  EXPECT_THAT(refusal(change), HasSubstr("a group multiplier is above 15"));
}

TEST(Hef, PlansAreConsistent) {
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.kv.reset(); }), HasSubstr("KV plan is missing"));
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.memory.reset(); }), HasSubstr("memory plan is missing"));
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.shape.reset(); }), HasSubstr("shape is missing"));
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.shape->kv_heads = 3; }), HasSubstr("do not share 3 kv heads"));
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.shape->layers = 0; }), HasSubstr("layers: got 0"));
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.kv->page_tokens = 32; }), HasSubstr("pages of 32 tokens"));
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.kv->page_bytes++; }), HasSubstr("want 2048"));
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.kv->context_tokens = 129; }), HasSubstr("2 pages for 129 tokens"));
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.kv->context_tokens = 40000; }), HasSubstr("want 1 to 32768"));
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.memory->total++; }), HasSubstr("in total"));
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.memory->tables = UINT64_MAX; }), HasSubstr("beyond reason"));
  EXPECT_THAT(refusal([](SampleHef& s) { s.meta.generation->eos_ids = {40}; }),
              HasSubstr("eos_ids: got 40, want 0 to 39"));
}

}  // namespace
}  // namespace hotaru
