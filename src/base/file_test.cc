#include "base/file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>

namespace hotaru {
namespace {

using ::testing::HasSubstr;

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(::testing::TempDir()) / fmt::format("hotaru_file_test_{}", ::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  [[nodiscard]] size_t files() const {
    return static_cast<size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }
  std::filesystem::path folder_;
};

TEST_F(FileTest, CommittedFileHoldsWhatWasWritten) {
  auto out = OutputFile::create(path("a"));
  ASSERT_TRUE(out.ok());
  ASSERT_TRUE(out->write("....world").ok());
  ASSERT_TRUE(out->write_at(0, std::as_bytes(std::span("hell", 4))).ok());
  EXPECT_EQ(out->position(), 9U);
  EXPECT_FALSE(std::filesystem::exists(path("a")));
  ASSERT_TRUE(out->commit().ok());
  EXPECT_EQ(*read_text_file(path("a")), "hellworld");
  const auto mapped = MappedFile::open(path("a"));
  ASSERT_TRUE(mapped.ok());
  EXPECT_EQ(mapped->bytes().size(), 9U);
  EXPECT_EQ(files(), 1U);
}

TEST_F(FileTest, UncommittedFileLeavesTheOldOneAndNoTemporary) {
  std::ofstream(path("a")) << "old";
  {
    auto out = OutputFile::create(path("a"), false);
    ASSERT_TRUE(out->write("new").ok());
    EXPECT_EQ(files(), 2U);
  }
  EXPECT_EQ(*read_text_file(path("a")), "old");
  EXPECT_EQ(files(), 1U);
}

TEST_F(FileTest, KilledWriterLeavesNothing) {
  if (::access("/proc/self/fd", X_OK) != 0) GTEST_SKIP() << "no /proc: files are written under a name";
  const pid_t child = ::fork();
  if (child == 0) {
    auto out = OutputFile::create(path("a"));
    if (out && out->write("half of it")) ::raise(SIGKILL);
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(files(), 0U);
}

TEST_F(FileTest, MovedFromOutputDoesNotRemoveTheTemporary) {
  auto first = OutputFile::create(path("a"));
  OutputFile second = *std::move(first);
  first = invalid("gone");
  ASSERT_TRUE(second.write("x").ok());
  ASSERT_TRUE(second.commit().ok());
  EXPECT_EQ(*read_text_file(path("a")), "x");
}

TEST_F(FileTest, SignalHandlerRemovesTemporaries) {
  auto first = OutputFile::create(path("a"), false);
  auto second = OutputFile::create(path("b"), false);
  ASSERT_TRUE(second->commit().ok());
  EXPECT_EQ(files(), 2U);
  remove_unfinished_outputs();
  EXPECT_EQ(files(), 1U);
  EXPECT_TRUE(std::filesystem::exists(path("b")));
  EXPECT_EQ(first->commit().error().kind, ErrorKind::kNotFound);
}

TEST_F(FileTest, OneOutputAtATime) {
  const auto first = OutputFile::create(path("a"));
  EXPECT_THAT(OutputFile::create(path("a")).error().message, HasSubstr("already being written"));
}

TEST_F(FileTest, WritesThroughALink) {
  std::ofstream(path("target")) << "old";
  std::filesystem::create_symlink("target", path("link"));
  auto out = OutputFile::create(path("link"));
  ASSERT_TRUE(out->write("new").ok());
  ASSERT_TRUE(out->commit().ok());
  EXPECT_TRUE(std::filesystem::is_symlink(path("link")));
  EXPECT_EQ(*read_text_file(path("target")), "new");
}

TEST_F(FileTest, RefusesWhatCannotBeReplaced) {
  EXPECT_THAT(OutputFile::create("/dev/full").error().message, HasSubstr("not a regular file"));
  EXPECT_THAT(OutputFile::create(folder_.string()).error().message, HasSubstr("directory"));
  const auto missing = OutputFile::create(path("no/such/a"));
  EXPECT_EQ(missing.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("no/such/a"));
}

TEST_F(FileTest, MappingErrorsNameThePath) {
  EXPECT_EQ(MappedFile::open(path("absent")).error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(MappedFile::open(path("absent")).error().message, HasSubstr("absent"));
  EXPECT_EQ(MappedFile::open(folder_.string()).error().kind, ErrorKind::kIo);
  EXPECT_EQ(MappedFile::open("/dev/zero").error().kind, ErrorKind::kIo);
  std::ofstream(path("empty")) << "";
  EXPECT_TRUE(MappedFile::open(path("empty"))->bytes().empty());
}

TEST_F(FileTest, TextFilesAreLimited) {
  std::ofstream(path("a")) << std::string(1000, 'x');
  EXPECT_TRUE(read_text_file(path("a"), 1000).ok());
  EXPECT_THAT(read_text_file(path("a"), 999).error().message, HasSubstr("larger than 999"));
  EXPECT_EQ(read_text_file(folder_.string()).error().kind, ErrorKind::kIo);
}

// A write beyond the limit of the file system: here the process's own file size limit.
TEST_F(FileTest, FailedWriteIsAnErrorAndLeavesNothing) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    auto out = OutputFile::create(path("a"));
    const auto fails = [](const Result<void>& done) { return !done.ok() && done.error().kind == ErrorKind::kIo; };
    const bool small_fails = out->write(std::string(10000, 'x')).ok() && fails(out->commit());
    auto large = OutputFile::create(path("b"));
    const bool large_fails = fails(large->write(std::string(size_t{3} << 20, 'x')));
    ::_exit(small_fails && large_fails ? 7 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

// Whatever the sizes of the writes: bytes wait for a whole large page, a header is put right in between.
TEST_F(FileTest, WritesOfAllSizesArriveInOrder) {
  constexpr size_t kLargePage = size_t{2} << 20;
  std::string wanted;
  auto out = OutputFile::create(path("a"));
  for (const size_t size : {size_t{5}, kLargePage - 6, size_t{1}, kLargePage, size_t{7}, 2 * kLargePage + 9, size_t{3},
                            kLargePage - 19, 3 * kLargePage, size_t{0}, size_t{1}}) {
    const std::string part(size, static_cast<char>('a' + wanted.size() % 26));
    wanted += part;
    ASSERT_TRUE(out->write(part).ok());
    wanted.replace(1, 2, "hi");
    ASSERT_TRUE(out->write_at(1, std::as_bytes(std::span("hi", 2))).ok());
  }
  EXPECT_EQ(out->position(), wanted.size());
  ASSERT_TRUE(out->commit().ok());
  EXPECT_TRUE(*read_text_file(path("a")) == wanted);
}

}  // namespace
}  // namespace hotaru
