#include "format/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstring>
#include <limits>

#include "format/file_test_base.h"
#include "format/safetensors_header.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

using ::testing::HasSubstr;

// A file of this header and that many data bytes.
std::string file_of(std::string_view header, size_t data_bytes) {
  const uint64_t header_bytes = header.size();
  std::string file(sizeof(header_bytes), '\0');
  std::memcpy(file.data(), &header_bytes, sizeof(header_bytes));
  file += header;
  file += std::string(data_bytes, '\0');
  return file;
}

std::string refusal(std::string_view header, size_t data_bytes) {
  const std::string file = file_of(header, data_bytes);
  const auto parsed = Safetensors::from_bytes(bytes_of(file), "f");
  return parsed ? std::string("accepted") : parsed.error().message;
}

constexpr std::string_view kTwo =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]},)"
    R"("a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}  )";

TEST(SafetensorsHeader, AcceptsWhatTheReferenceWrites) {
  const std::string file = file_of(kTwo, 12);
  const auto parsed = Safetensors::from_bytes(bytes_of(file), "f");
  ASSERT_TRUE(parsed.ok()) << parsed.error().message;
  EXPECT_EQ(parsed->tensors().size(), 2U);
  EXPECT_EQ(parsed->find("a")->dtype, DType::kBf16);
  EXPECT_EQ(parsed->find("a")->shape, (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(parsed->find("b")->bytes.size(), 8U);
  EXPECT_EQ(parsed->find("c"), nullptr);
  EXPECT_EQ(refusal("{}", 0), "accepted");
  EXPECT_EQ(refusal(R"({"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]}})", 8), "accepted");
  EXPECT_EQ(refusal(R"({"e":{"dtype":"F32","shape":[0,5],"data_offsets":[0,0]}})", 0), "accepted");
}

TEST(SafetensorsHeader, RefusesLengthsThatLie) {
  EXPECT_THAT(Safetensors::from_bytes(bytes_of("1234567"), "f").error().message, HasSubstr("too few"));
  std::string file = file_of("{}", 0);
  for (const uint64_t length : {uint64_t{3}, uint64_t{100'000'001}, UINT64_MAX, UINT64_MAX - 7}) {
    std::memcpy(file.data(), &length, sizeof(length));
    EXPECT_THAT(Safetensors::from_bytes(bytes_of(file), "f").error().message, HasSubstr("does not fit"));
  }
}

TEST(SafetensorsHeader, RefusesWrongJson) {
  EXPECT_THAT(refusal("", 0), HasSubstr("does not start with"));
  EXPECT_THAT(refusal(" {}", 0), HasSubstr("does not start with"));
  EXPECT_THAT(refusal("[]", 0), HasSubstr("does not start with"));
  for (const char* header : {"{", "{]", R"({"a")", R"({"a":})", "{}{}", "{\"\xff\":1}"}) {
    EXPECT_THAT(refusal(header, 0), HasSubstr("not JSON")) << header;
  }
  for (const char* header :
       {R"({"a":1})", R"({"a":null})", R"({"a":[]})", R"({"a":"b"})", R"({"a":true})", R"({"a":{"dtype":5}})",
        R"({"a":{"shape":"x"}})", R"({"a":{"shape":[[1]]}})", R"({"a":{"shape":[-1]}})", R"({"a":{"shape":[1.5]}})",
        R"({"a":{"dtype":{"x":1}}})", R"({"__metadata__":{"x":1}})", R"({"__metadata__":{"x":{}}})"}) {
    EXPECT_THAT(refusal(header, 0), HasSubstr("where the format has none")) << header;
  }
  EXPECT_THAT(refusal(R"({"a":{}})", 0), HasSubstr("want dtype, shape and two data_offsets"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0]}})", 4), HasSubstr("want dtype"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4,4]}})", 4), HasSubstr("more than two"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"Q4","shape":[],"data_offsets":[0,4]}})", 4),
              HasSubstr("'Q4' is not supported"));
  EXPECT_THAT(refusal(R"({"a":{"extra":1}})", 4), HasSubstr("unknown field"));
  EXPECT_THAT(refusal(R"({"a":{"dtype":"F32","dtype":"F32"}})", 4), HasSubstr("appears twice"));
}

TEST(SafetensorsHeader, RefusesWrongLayouts) {
  const auto tensor = [](const char* name, const char* shape, uint64_t begin, uint64_t end) {
    return fmt::format(R"("{}":{{"dtype":"F32","shape":{},"data_offsets":[{},{}]}})", name, shape, begin, end);
  };
  const auto header = [](const std::string& a, const std::string& b = "") {
    return "{" + a + (b.empty() ? "" : "," + b) + "}";
  };
  EXPECT_THAT(refusal(header(tensor("a", "[1]", 0, 4), tensor("a", "[1]", 4, 8)), 8), HasSubstr("'a': appears twice"));
  EXPECT_THAT(refusal(header(tensor("a", "[2]", 0, 8), tensor("b", "[2]", 4, 12)), 12), HasSubstr("neither overlap"));
  EXPECT_THAT(refusal(header(tensor("a", "[1]", 0, 4), tensor("b", "[1]", 8, 12)), 12), HasSubstr("nor leave holes"));
  EXPECT_THAT(refusal(header(tensor("a", "[1]", 0, 4)), 8),
              HasSubstr("tensors end at byte 4 of the data, the file at 8"));
  EXPECT_THAT(refusal(header(tensor("a", "[2]", 0, 8)), 4), HasSubstr("lie outside"));
  EXPECT_THAT(refusal(header(tensor("a", "[1]", 4, 0)), 4), HasSubstr("lie outside"));
  EXPECT_THAT(refusal(header(tensor("a", "[3]", 0, 8)), 8), HasSubstr("got 8 bytes, want 12 for F32 [3]"));
  EXPECT_THAT(refusal(header(tensor("a", "[4294967296,4294967296]", 0, 0)), 0), HasSubstr("overflows"));
  EXPECT_THAT(refusal(header(tensor("a", "[9223372036854775808]", 0, 0)), 0), HasSubstr("2^63"));
  EXPECT_THAT(refusal(header(tensor("a", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", 0, 4)), 4), HasSubstr("16 dimensions"));
}

class SafetensorsTest : public FileTestBase {
 protected:
  void write(const std::string& name, const std::vector<SafetensorsWriter::Entry>& entries,
             std::span<const float> values) {
    auto writer = SafetensorsWriter::create(path(name), entries);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE(writer->append(values.first(values.size() / 2)).ok());
    ASSERT_TRUE(writer->append(values.subspan(values.size() / 2)).ok());
    ASSERT_TRUE(writer->commit().ok());
  }
};

TEST_F(SafetensorsTest, WriterAndReaderAgree) {
  const std::array<float, 8> values = {1, 2, 3, 4, 5, 6, 7, 8};
  write("f", {{"logits", {3, 2}}, {"a \"quoted\" name", {2}}}, values);
  const auto file = Safetensors::open(path("f"));
  ASSERT_TRUE(file.ok()) << file.error().message;
  EXPECT_EQ(*file->read_f32("logits", std::array<int64_t, 2>{3, 2}), (std::vector<float>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(*file->read_f32("logits", std::array<int64_t, 2>{3, 2}, RowRange{1, 3}), (std::vector<float>{3, 4, 5, 6}));
  EXPECT_EQ(*file->read_f32("a \"quoted\" name", std::array<int64_t, 1>{2}), (std::vector<float>{7, 8}));
  EXPECT_EQ(file->file_bytes().size(), 1U);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(file->find("logits")->bytes.data()) % 8, 0U);
}

TEST_F(SafetensorsTest, AWeightWithAFlippedExponentBitIsRefused) {
  std::array<float, 6> values = {1, 2, -1e10F, 4, 0.37F, 6};
  write("f", {{"w", {3, 2}}}, values);
  EXPECT_TRUE(Safetensors::open(path("f"))->read_f32("w", std::array<int64_t, 2>{3, 2}).ok());
  values[4] = -std::bit_cast<float>(std::bit_cast<uint32_t>(values[4]) ^ 0x40000000U);
  write("f", {{"w", {3, 2}}}, values);
  EXPECT_THAT(Safetensors::open(path("f"))->read_f32("w", std::array<int64_t, 2>{3, 2}).error().message,
              HasSubstr("e+38 at [2, 0], want numbers up to 1e+10"));
}

TEST_F(SafetensorsTest, ReadErrorsNameTensorAndPlace) {
  const std::array<float, 6> values = {1, 2, 3, 4, std::numeric_limits<float>::quiet_NaN(), 6};
  write("f", {{"w", {3, 2}}}, values);
  const auto file = Safetensors::open(path("f"));
  EXPECT_THAT(file->read_f32("w", std::array<int64_t, 2>{3, 2}).error().message,
              HasSubstr("tensor 'w': value nan at [2, 0], want numbers up to 1e+10"));
  EXPECT_TRUE(file->read_f32("w", std::array<int64_t, 2>{3, 2}, RowRange{0, 2}).ok());
  EXPECT_THAT(file->read_f32("w", std::array<int64_t, 2>{2, 3}).error().message, HasSubstr("got [3, 2], want [2, 3]"));
  EXPECT_EQ(file->read_f32("v", std::array<int64_t, 1>{1}).error().kind, ErrorKind::kNotFound);
  const std::string integers = file_of(R"({"i":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}})", 4);
  const auto typed = Safetensors::from_bytes(bytes_of(integers), "f");
  EXPECT_THAT(typed->read_f32("i", std::array<int64_t, 1>{1}).error().message, HasSubstr("got I32, want F32"));
}

TEST_F(SafetensorsTest, ShardsByTheirIndex) {
  const std::array<float, 2> values = {1, 2};
  write("one.safetensors", {{"a", {1}}, {"b", {1}}}, values);
  write("two.safetensors", {{"c", {2}}}, values);
  const std::string index = path("model.safetensors.index.json");
  write_text(index, R"({"weight_map":{"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"}})");
  const auto files = Safetensors::open(folder_.string());
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_EQ(files->tensors().size(), 3U);
  EXPECT_EQ(*files->read_f32("b", std::array<int64_t, 1>{1}), std::vector<float>{2});
  EXPECT_EQ(files->file_bytes().size(), 2U);

  const auto message = [&](const char* text) {
    write_text(index, text);
    const auto refused = Safetensors::open(folder_.string());
    return refused ? std::string("accepted") : refused.error().message;
  };
  EXPECT_THAT(message(R"({"weight_map":{"x":"one.safetensors"}})"), HasSubstr("tensor 'x': missing, although"));
  EXPECT_THAT(message(R"({"weight_map":{"x":"three.safetensors"}})"), HasSubstr("No such file"));
  for (const char* bad : {R"({"weight_map":{"x":"../one.safetensors"}})", R"({"weight_map":{"x":"/etc/passwd"}})",
                          R"({"weight_map":{"x":".."}})", R"({"weight_map":{"x":""}})", R"({"weight_map":{"x":7}})",
                          R"({"weight_map":{"x":"a\u0000b"}})"}) {
    EXPECT_THAT(message(bad), HasSubstr("same directory")) << bad;
  }
  EXPECT_THAT(message("[]"), HasSubstr("'weight_map': missing"));
  EXPECT_THAT(message("{"), HasSubstr("not JSON"));
}

TEST_F(SafetensorsTest, EmptyDirectoryIsNamed) {
  EXPECT_THAT(Safetensors::open(folder_.string()).error().message, HasSubstr("holds neither"));
  EXPECT_EQ(Safetensors::open(path("absent")).error().kind, ErrorKind::kNotFound);
}

// The format has no checksum: a flip in the data is not noticed, one in the header must not do harm.
TEST_F(SafetensorsTest, RandomDamageNeverCrashes) {
  const std::string good = file_of(kTwo, 12);
  Random random(9);
  for (int i = 0; i < 1000; i++) {
    std::string bad = good;
    bad[random.next_below(static_cast<uint32_t>(bad.size()))] ^= static_cast<char>(1U << random.next_below(8));
    const auto flipped = Safetensors::from_bytes(bytes_of(bad), "f");
    EXPECT_TRUE(flipped.ok() || !flipped.error().message.empty());
    const std::string cut = good.substr(0, random.next_below(static_cast<uint32_t>(good.size())));
    EXPECT_FALSE(Safetensors::from_bytes(bytes_of(cut), "f").ok());
  }
}

}  // namespace
}  // namespace hotaru
