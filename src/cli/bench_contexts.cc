#include "cli/bench_contexts.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <utility>

#include "base/json.h"
#include "base/size_text.h"
#include "cli/version.h"
#include "device/limits.h"
#include "eval/context_costs.h"

namespace hotaru::cli {
namespace {

Json costs_json(const ContextCosts& costs) {
  return {{"tokens", costs.tokens},
          {"prefill_ms", costs.prefill_ms},
          {"longest_chunk_ms", costs.longest_chunk_ms},
          {"save_ms", costs.save_ms},
          {"restore_ms", costs.restore_ms},
          {"file_bytes", costs.file_bytes},
          {"page_bytes", costs.page_bytes},
          {"fork_ms", costs.fork_ms},
          {"fork_bytes", costs.fork_bytes},
          {"parted_bytes", costs.parted_bytes},
          {"reuse_ms", costs.reuse_ms},
          {"reused_tokens", costs.reused_tokens},
          {"reuse_bytes", costs.reuse_bytes},
          {"decode_ms", costs.decode_ms},
          {"longest_stall_ms", costs.longest_stall_ms}};
}

std::string costs_text(const ContextCosts& costs) {
  const double surplus = 100.0 * (static_cast<double>(costs.file_bytes) / static_cast<double>(costs.page_bytes) - 1);
  std::string text = fmt::format("{} tokens of context: {:.1f} ms to prefill, {} of pages\n", costs.tokens,
                                 costs.prefill_ms, size_text(costs.page_bytes));
  text += fmt::format("  saved in {:.1f} ms, {} ({:+.2f} % of the pages)\n", costs.save_ms, size_text(costs.file_bytes),
                      surplus);
  text += fmt::format("  restored in {:.1f} ms: {:.0f} times as fast as prefilled\n", costs.restore_ms,
                      costs.prefill_ms / costs.restore_ms);
  text += fmt::format("  forked in {:.3f} ms: {} more at once, {} when both have gone on\n", costs.fork_ms,
                      size_text(costs.fork_bytes), size_text(costs.parted_bytes));
  text +=
      fmt::format("  begun alike, {} tokens reused: {:.1f} ms, {} more: {:.0f} times as fast, {:.0f} % less memory\n",
                  costs.reused_tokens, costs.reuse_ms, size_text(costs.reuse_bytes), costs.prefill_ms / costs.reuse_ms,
                  100 - 100.0 * static_cast<double>(costs.reuse_bytes) / static_cast<double>(costs.page_bytes));
  text += fmt::format(
      "a token beside it: {:.1f} ms alone, {:.1f} ms at most while it is prefilled; its longest chunk alone {:.1f} "
      "ms\n",
      costs.decode_ms, costs.longest_stall_ms, costs.longest_chunk_ms);
  return text;
}

}  // namespace

Result<void> bench_contexts(const ContextBench& bench, DeviceOptions options) {
  options.context_tokens = 2 * bench.tokens + 64;
  TRY_ASSIGN(std::unique_ptr<Device> device, Device::open(bench.hef_path, options));
  const DeviceInfo info = device->info();
  const std::string file =
      (std::filesystem::temp_directory_path() / fmt::format("hotaru_context_{}", ::getpid())).string();
  const Result<ContextCosts> costs = measure_context_costs(std::move(device), bench.tokens, file);
  std::error_code ignored;
  std::filesystem::remove(file, ignored);
  if (!costs) return costs.error();
  if (bench.json) {
    const Json json = {{"context_costs", costs_json(*costs)},
                       {"isa", isa_name(info.isa)},
                       {"threads", info.threads},
                       {"model", bench.hef_path},
                       {"cpu", processor_name()},
                       {"commit", commit_text()}};
    std::fputs((json.dump() + "\n").c_str(), stdout);
  } else {
    std::fputs(fmt::format("{}, {}, {} threads; commit {}\n\n{}", processor_name(), isa_name(info.isa), info.threads,
                           commit_text(), costs_text(*costs))
                   .c_str(),
               stdout);
  }
  return {};
}

}  // namespace hotaru::cli
