// Opening a file from a warm cache: every byte is read and checked. The goal is a loaded 1 GB model within 0.1 s.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "base/check.h"
#include "format/container.h"
#include "format/container_writer.h"

namespace hotaru {
namespace {

constexpr size_t kFileBytes = size_t{1} << 30;

// One weights section of 1 GiB, removed when the program ends.
const std::string& big_file() {
  static const std::string path = fmt::format("/tmp/hotaru_container_bench_{}", ::getpid());
  static const bool made = [] {
    std::atexit([] { ::unlink(path.c_str()); });
    auto writer = ContainerWriter::create(path, FileKind::kHef);
    CHECK(writer.ok() && writer->begin_section(SectionType::kWeights).ok());
    const std::vector<std::byte> piece(kChecksumChunkBytes, std::byte{0x5A});
    for (size_t done = 0; done < kFileBytes; done += piece.size()) CHECK(writer->append(piece).ok());
    CHECK(writer->end_section().ok() && writer->finish().ok());
    return true;
  }();
  CHECK(made);
  return path;
}

void open_container(benchmark::State& state) {
  ThreadPool pool(static_cast<int>(state.range(0)));
  const std::string& path = big_file();
  for ([[maybe_unused]] auto _ : state) CHECK(Container::open(path, FileKind::kHef, {&pool, true}).ok());
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(kFileBytes));
}
BENCHMARK(open_container)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace hotaru

BENCHMARK_MAIN();
