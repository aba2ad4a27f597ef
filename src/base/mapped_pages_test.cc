#include "base/mapped_pages.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/file.h"

namespace hotaru {
namespace {

// This process' memory in files, as the kernel counts it.
long file_pages() {
  std::ifstream statm("/proc/self/statm");
  long size = 0;
  long resident = 0;
  long shared = 0;
  statm >> size >> resident >> shared;
  return shared;
}

TEST(MappedPages, AreGivenBackAndReadAgain) {
  const auto path = std::filesystem::temp_directory_path() / ("hotaru_pages_" + std::to_string(::getpid()));
  const std::vector<char> content(size_t{16} << 20, 'x');
  std::ofstream(path, std::ios::binary).write(content.data(), std::ssize(content));
  const auto file = MappedFile::open(path.string());
  ASSERT_TRUE(file.ok());
  const auto is_x = [](std::byte byte) { return byte == std::byte{'x'}; };
  const long page = ::sysconf(_SC_PAGESIZE);
  const long before = file_pages();
  EXPECT_TRUE(std::ranges::all_of(file->bytes(), is_x));
  const long touched = file_pages();
  EXPECT_GT(touched - before, (long{12} << 20) / page);
  drop_mapped_pages(file->bytes().subspan(100, 1000));  // too little to matter
  EXPECT_GE(file_pages(), touched - 4);
  drop_mapped_pages(file->bytes().subspan(100));
  EXPECT_LT(file_pages() - before, (long{2} << 20) / page);
  EXPECT_TRUE(std::ranges::all_of(file->bytes(), is_x));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace hotaru
