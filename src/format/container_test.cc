#include "format/container.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "format/container_layout.h"
#include "format/container_writer.h"
#include "format/file_test_base.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

using ::testing::HasSubstr;

Result<Container> parse(std::span<const std::byte> bytes, FileKind kind = FileKind::kHef) {
  return Container::from_bytes(bytes, kind, "x.hef", {});
}

class ContainerTest : public FileTestBase {
 protected:
  // Two small sections with padding between them, and an empty one.
  std::vector<std::byte> small_file() {
    auto writer = ContainerWriter::create(path("small"), FileKind::kHef);
    EXPECT_TRUE(writer->begin_section(SectionType::kMeta).ok());
    EXPECT_TRUE(writer->append("meta").ok());
    EXPECT_TRUE(writer->align(64).ok());
    EXPECT_EQ(writer->section_position(), 64U);
    EXPECT_TRUE(writer->append("data").ok());
    EXPECT_TRUE(writer->end_section().ok());
    EXPECT_TRUE(writer->add_section(SectionType::kReport, 0, {}).ok());
    EXPECT_TRUE(writer->add_section(SectionType::kAdapter, 3, bytes_of("adapter")).ok());
    EXPECT_TRUE(writer->finish().ok());
    return read_bytes(path("small"));
  }

  // The same after `change`, with the header's own checksum made right again.
  static std::vector<std::byte> forged(std::vector<std::byte> file, size_t offset, uint64_t value, size_t bytes) {
    std::memcpy(file.data() + offset, &value, bytes);
    const auto header_bytes = size_t{load_field<uint32_t>(file, kHeaderBytesAt)};
    const auto covered =
        std::span<const std::byte>(file).first(std::min(header_bytes, file.size()) - kHeaderChecksumBytes);
    store_field(std::span(file), covered.size(), checksum_of(covered));
    return file;
  }
};

TEST_F(ContainerTest, ReadsBackWhatWasWritten) {
  const auto file = small_file();
  EXPECT_EQ(file.size(), 2 * kPageBytes + 7);  // header, meta; the report is empty
  const auto container = parse(file);
  ASSERT_TRUE(container.ok()) << container.error().message;
  ASSERT_EQ(container->sections().size(), 3U);
  EXPECT_EQ(container->section(SectionType::kMeta)->size(), 68U);
  EXPECT_EQ(*container->text(SectionType::kReport), "");
  EXPECT_FALSE(container->text(SectionType::kTokenizer).has_value());
  EXPECT_FALSE(container->section(SectionType::kAdapter, 0).has_value());
  EXPECT_TRUE(std::ranges::equal(*container->section(SectionType::kAdapter, 3), bytes_of("adapter")));
  EXPECT_EQ(container->major(), kFormatMajor);
}

TEST_F(ContainerTest, SameCallsGiveTheSameBytes) {
  const auto first = small_file();
  EXPECT_EQ(first, small_file());
}

TEST_F(ContainerTest, EverySingleFlippedBitIsRefused) {
  auto file = small_file();
  for (size_t i = 0; i < file.size(); i++) {
    for (int bit = 0; bit < 8; bit++) {
      file[i] ^= static_cast<std::byte>(1 << bit);
      const auto refused = parse(file);
      ASSERT_FALSE(refused.ok()) << "byte " << i << " bit " << bit;
      ASSERT_FALSE(refused.error().message.empty());
      ASSERT_EQ(refused.error().message.find('\n'), std::string::npos);
      file[i] ^= static_cast<std::byte>(1 << bit);
    }
  }
  EXPECT_TRUE(parse(file).ok());
}

TEST_F(ContainerTest, EveryTruncationAndAnyExtraByteIsRefused) {
  auto file = small_file();
  for (size_t size = 0; size < file.size(); size++) {
    ASSERT_FALSE(parse(std::span(file).first(size)).ok()) << size;
  }
  EXPECT_THAT(parse(std::span(file).first(5000)).error().message, HasSubstr("truncated: got 5000 bytes, want 8199"));
  file.push_back(std::byte{0});
  EXPECT_THAT(parse(file).error().message, HasSubstr("1 bytes follow"));
}

TEST_F(ContainerTest, ChecksumsSpanChunksAndThreadsAgree) {
  std::vector<std::byte> data(2 * kChecksumChunkBytes + 12345);
  Random random(1);
  for (std::byte& byte : data) byte = static_cast<std::byte>(random.next_u32());
  auto writer = ContainerWriter::create(path("big"), FileKind::kHar);
  ASSERT_TRUE(writer->begin_section(SectionType::kWeights).ok());
  for (size_t done = 0; done < data.size(); done += 1'000'003) {  // pieces that do not match the chunks
    ASSERT_TRUE(writer->append(std::span(data).subspan(done, std::min<size_t>(1'000'003, data.size() - done))).ok());
  }
  ASSERT_TRUE(writer->end_section().ok());
  ASSERT_TRUE(writer->finish().ok());

  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    const auto container = Container::open(path("big"), FileKind::kHar, {&pool, true});
    ASSERT_TRUE(container.ok()) << container.error().message;
    EXPECT_TRUE(std::ranges::equal(*container->section(SectionType::kWeights), data));
  }
  auto file = read_bytes(path("big"));
  ThreadPool pool(2);
  for (const size_t place : {size_t{4096}, 4096 + kChecksumChunkBytes, file.size() - 1}) {
    file[place] ^= std::byte{1};
    const auto refused = Container::from_bytes(file, FileKind::kHar, "x", {&pool, true});
    EXPECT_THAT(refused.error().message, HasSubstr("section 'weights' 0 is damaged"));
    EXPECT_TRUE(Container::from_bytes(file, FileKind::kHar, "x", {&pool, false}).ok());
    file[place] ^= std::byte{1};
  }
}

TEST_F(ContainerTest, HeaderGrowsByWholePages) {
  auto writer = ContainerWriter::create(path("many"), FileKind::kHef, 300);
  for (uint32_t i = 0; i < 300; i++) ASSERT_TRUE(writer->add_section(SectionType::kAdapter, i, bytes_of("a")).ok());
  ASSERT_TRUE(writer->finish().ok());
  const auto container = Container::open(path("many"), FileKind::kHef, {});
  ASSERT_TRUE(container.ok()) << container.error().message;
  EXPECT_EQ(container->sections().size(), 300U);
  EXPECT_EQ(container->sections().front().offset, 3 * kPageBytes);
}

TEST_F(ContainerTest, VersionsByTheRule) {
  const auto file = small_file();
  EXPECT_TRUE(parse(forged(file, kMinorAt, kFormatMinor + 1, 2)).ok());
  const auto newer = parse(forged(file, kMajorAt, 2, 2));
  EXPECT_EQ(newer.error().kind, ErrorKind::kNotSupported);
  EXPECT_THAT(newer.error().message, HasSubstr("got format version 2.0, want 1.x"));
  EXPECT_TRUE(parse(forged(file, kTableAt + 2 * kEntryBytes, 999, 4)).ok());  // an unknown section type
}

TEST_F(ContainerTest, ForgedTablesAreRefused) {
  const auto file = small_file();
  const size_t second = kTableAt + kEntryBytes;
  const size_t third = second + kEntryBytes;
  const auto message = [&](size_t offset, uint64_t value, size_t bytes) {
    const auto refused = parse(forged(file, offset, value, bytes));
    return refused ? std::string("accepted") : refused.error().message;
  };
  EXPECT_THAT(message(kTableAt + 8, 0, 8), HasSubstr("starts at byte 0, want 4096"));
  EXPECT_THAT(message(third + 8, 4096, 8), HasSubstr("starts at byte 4096, want 8192"));
  EXPECT_THAT(message(third + 16, UINT64_MAX, 8), HasSubstr("lie outside the file"));
  EXPECT_THAT(message(third + 16, 6, 8), HasSubstr("the last section ends at"));
  EXPECT_THAT(message(kTableAt + 16, 4, 8), HasSubstr("padding before it is not zero"));
  EXPECT_THAT(message(second, 1, 4), HasSubstr("appears twice"));
  EXPECT_THAT(message(kSectionCountAt, UINT32_MAX, 4), HasSubstr("header is damaged"));
  EXPECT_THAT(message(kFileBytesAt, UINT64_MAX, 8), HasSubstr("truncated"));
  EXPECT_THAT(message(kReservedAt, 1, 4), HasSubstr("unused bytes"));
  EXPECT_THAT(message(kPageBytes - 100, 1, 1), HasSubstr("unused bytes"));
}

TEST_F(ContainerTest, ForeignFilesAreNamed) {
  const auto message = [](std::string text, FileKind kind = FileKind::kHef) {
    text.resize(8192);
    return parse(bytes_of(text), kind).error().message;
  };
  EXPECT_THAT(message("\x01HEF"), HasSubstr("HEF made for Hailo's chips"));
  std::string tar(257, 'x');
  EXPECT_THAT(message(tar + "ustar", FileKind::kHar), HasSubstr("archive, as Hailo's HAR files are"));
  EXPECT_THAT(message("GGUF"), HasSubstr("neither a HEF nor a HAR nor a context file"));
  EXPECT_THAT(parse({}).error().message, HasSubstr("neither a HEF nor a HAR nor a context file"));
  const auto file = small_file();
  EXPECT_THAT(parse(file, FileKind::kHar).error().message, HasSubstr("got a HEF, want a HAR"));
}

TEST_F(ContainerTest, UnfinishedWriterLeavesNothing) {
  {
    auto writer = ContainerWriter::create(path("a"), FileKind::kHef);
    ASSERT_TRUE(writer->add_section(SectionType::kMeta, 0, bytes_of("x")).ok());
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace hotaru
