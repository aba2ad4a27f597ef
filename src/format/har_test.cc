#include "format/har.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "format/file_test_base.h"
#include "format/sample_har.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

using ::testing::HasSubstr;

std::string refusal(const std::function<void(SampleHar&)>& change) {
  SampleHar sample;
  change(sample);
  const auto file = sample.pack();
  const auto har = HarFile::from_bytes(file, "m.har");
  return har ? "accepted" : har.error().message;
}

TEST(Har, SampleOpens) {
  const SampleHar sample;
  const auto file = sample.pack();
  const auto har = HarFile::from_bytes(file, "m.har");
  ASSERT_TRUE(har.ok()) << har.error().message;
  EXPECT_EQ(har->meta().nodes()->size(), 1U);
  EXPECT_EQ(har->tensor_bytes(0).size(), packed_int4_size(16, 32));
  EXPECT_EQ(har->weight_bytes(), sample.weights.size());
  EXPECT_EQ(pack_meta(sample.meta), pack_meta(SampleHar().meta));
}

TEST(Har, ThousandDamagesAreRefused) {
  const auto good = SampleHar().pack();
  Random random(8);
  for (int i = 0; i < 1000; i++) {
    auto file = good;
    file[random.next_below(static_cast<uint32_t>(file.size()))] ^= static_cast<std::byte>(1U << random.next_below(8));
    ASSERT_FALSE(HarFile::from_bytes(file, "m.har").ok());
    const size_t size = random.next_below(static_cast<uint32_t>(good.size()));
    ASSERT_FALSE(HarFile::from_bytes(std::span(good).first(size), "m.har").ok());
  }
}

TEST(Har, ThousandSignedDamagesNeverCrash) {
  const SampleHar sample;
  const std::vector<std::byte> good = pack_meta(sample.meta);
  Random random(4);
  for (int i = 0; i < 1000; i++) {
    std::vector<std::byte> meta = good;
    meta[random.next_below(static_cast<uint32_t>(meta.size()))] ^= static_cast<std::byte>(1U << random.next_below(8));
    if (i % 4 == 0) meta.resize(random.next_below(static_cast<uint32_t>(meta.size())));
    const auto file =
        pack_container(FileKind::kHar, {{SectionType::kMeta, meta}, {SectionType::kWeights, sample.weights}});
    const auto har = HarFile::from_bytes(file, "m.har");
    ASSERT_TRUE(har.ok() || har.error().message.starts_with("m.har: "));
  }
}

// Found by fuzzing: a vector of u64 at an address that is a multiple of 4 only passes FlatBuffers' verifier.
TEST(Har, MisalignedVectorsAreRefused) {
  const SampleHar sample;
  std::vector<std::byte> meta = pack_meta(sample.meta);
  const auto* shape = fb::GetHar(meta.data())->tensors()->Get(1)->shape();
  const size_t length_at = static_cast<size_t>(reinterpret_cast<const std::byte*>(shape) - meta.data());
  const size_t field_at = [&] {  // the offset in the table that leads to the shape
    for (size_t place = 0; place + 4 <= length_at; place += 4) {
      if (place + load_field<uint32_t>(meta, place) == length_at) return place;
    }
    return size_t{0};
  }();
  ASSERT_GT(field_at, 0U);
  store_field(std::span(meta), field_at, static_cast<uint32_t>(length_at + 4 - field_at));
  store_field(std::span(meta), length_at + 4, uint32_t{1});  // a vector of one element, 4 bytes further
  const auto file =
      pack_container(FileKind::kHar, {{SectionType::kMeta, meta}, {SectionType::kWeights, sample.weights}});
  EXPECT_THAT(HarFile::from_bytes(file, "m").error().message, HasSubstr("not aligned in the meta"));
}

TEST(Har, AHefIsNoHar) {
  const auto file = pack_container(FileKind::kHef, {});
  EXPECT_THAT(HarFile::from_bytes(file, "m.hef").error().message, HasSubstr("got a HEF, want a HAR"));
}

TEST(Har, IdsAreInRange) {
  EXPECT_EQ(refusal([](SampleHar&) {}), "accepted");
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.nodes[0]->inputs = {2}; }),
              HasSubstr("node 'linear': input: got value 2 of 2"));
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.nodes[0]->output = -1; }), HasSubstr("output: got value -1"));
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.nodes[0]->weight = 5; }), HasSubstr("got parameter 5 of 1"));
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.nodes[0]->bias = -2; }), HasSubstr("got parameter -2"));
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.nodes[0]->layer = 2; }), HasSubstr("layer: got 2"));
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.parameters[0]->row_scale = 9; }), HasSubstr("row_scale: got tensor 9"));
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.nodes[0]->kind = static_cast<fb::NodeKind>(99); }),
              HasSubstr("operation 99"));
}

TEST(Har, ParametersFitTheirTensors) {
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.parameters[0]->packed = 1; }),
              HasSubstr("is no packed matrix of [16, 32]"));
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.parameters[0]->row_sum = 1; }),
              HasSubstr("row_sum: got 16 F32, want 16 I32"));
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.parameters[0]->values = 1; }),
              HasSubstr("values: got 16 F32, want 512"));
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.parameters[0]->rows = 0; }), HasSubstr("got the shape [0, 32]"));
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.parameters[0]->rows = UINT64_MAX; }), HasSubstr("want extents"));
  EXPECT_THAT(refusal([](SampleHar& s) { s.meta.values[0]->width = 0; }), HasSubstr("value 'x': width: got 0"));
  EXPECT_THAT(
      refusal([](SampleHar& s) { s.meta.values[0]->ranges.emplace_back(std::numeric_limits<float>::infinity(), 0); }),
      HasSubstr("scale is not finite"));
}

TEST(Har, RewritesFitTheirParameter) {
  const auto with = [](fb::RewriteKind kind, std::vector<double> values) {
    return refusal([&](SampleHar& s) {
      auto rewrite = std::make_unique<fb::RewriteT>();
      rewrite->kind = kind;
      rewrite->values = values;
      s.meta.parameters[0]->rewrites.push_back(std::move(rewrite));
    });
  };
  EXPECT_EQ(with(fb::RewriteKind::ScaleColumns, std::vector<double>(32, 1.0)), "accepted");
  EXPECT_EQ(with(fb::RewriteKind::RotateColumns, {}), "accepted");
  EXPECT_THAT(with(fb::RewriteKind::ScaleRows, std::vector<double>(32, 1.0)), HasSubstr("has 32 values, want 16"));
  EXPECT_THAT(with(fb::RewriteKind::ScaleRows, std::vector<double>(16, NAN)), HasSubstr("value 0 is not finite"));
  EXPECT_THAT(with(static_cast<fb::RewriteKind>(77), {}), HasSubstr("rewrite 77"));
}

TEST(Har, AdaptersLieInTheirSection) {
  const auto message = [](const std::function<void(fb::AdapterSiteT&)>& change, bool with_section = true) {
    SampleHar sample;
    sample.add_adapter();
    change(*sample.meta.adapters[0]->sites[0]);
    const auto file = sample.pack(with_section);
    const auto har = HarFile::from_bytes(file, "m.har");
    return har ? std::string("accepted") : har.error().message;
  };
  EXPECT_EQ(message([](auto&) {}), "accepted");
  EXPECT_THAT(message([](auto&) {}, false), HasSubstr("adapter 'holmes': its section 0 is missing"));
  EXPECT_THAT(message([](auto& s) { s.up.reset(); }), HasSubstr("site 'layers.0.o': a tensor is missing"));
  EXPECT_THAT(message([](auto& s) { s.rank = 5; }), HasSubstr("wrong layout or shape"));
  EXPECT_THAT(message([](auto& s) { s.down->offset = 1 << 20; }), HasSubstr("lie outside the section"));
  EXPECT_THAT(message([](auto& s) { s.output_count = 0; }), HasSubstr("0 of them"));
}

}  // namespace
}  // namespace hotaru
