#include "base/mapped_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/file.h"
#include "base/resident_bytes.h"

namespace hotaru {
namespace {

TEST(MappedPages, AreGivenBackAndReadAgain) {
  const auto path = std::filesystem::temp_directory_path() / ("hotaru_pages_" + std::to_string(::getpid()));
  const std::vector<char> content(size_t{16} << 20, 'x');
  std::ofstream(path, std::ios::binary).write(content.data(), std::ssize(content));
  const auto file = MappedFile::open(path.string());
  ASSERT_TRUE(file.ok());
  const auto is_x = [](std::byte byte) { return byte == std::byte{'x'}; };
  const int64_t page = ::sysconf(_SC_PAGESIZE);
  const int64_t before = resident_file_bytes();
  EXPECT_TRUE(std::ranges::all_of(file->bytes(), is_x));
  const int64_t touched = resident_file_bytes();
  EXPECT_GT(touched - before, int64_t{12} << 20);
  drop_mapped_pages(file->bytes().subspan(100, 1000));  // too little to matter
  EXPECT_GE(resident_file_bytes(), touched - 4 * page);
  drop_mapped_pages(file->bytes().subspan(100));
  EXPECT_LT(resident_file_bytes() - before, int64_t{2} << 20);
  EXPECT_TRUE(std::ranges::all_of(file->bytes(), is_x));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace hotaru
