// What a conversation costs beside its tokens: kept in a file and restored, forked, begun like another; and what a
// reply notices of somebody else's long prompt.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "device/device.h"

namespace hotaru {

struct ContextCosts {
  int tokens = 0;
  double prefill_ms = 0;
  double longest_chunk_ms = 0;  // of the steps of that prefill
  // In a file that the system still has in memory.
  double save_ms = 0, restore_ms = 0;
  uint64_t file_bytes = 0, page_bytes = 0;  // and of the pages it holds
  // A fork, and what the device holds more: at once, and when both have gone on by a token.
  double fork_ms = 0;
  uint64_t fork_bytes = 0, parted_bytes = 0;
  // A prompt of `tokens` that is another's but for its last ones.
  double reuse_ms = 0;
  int reused_tokens = 0;
  uint64_t reuse_bytes = 0;
  // A reply's tokens, alone and while a prompt of `tokens` is read.
  double decode_ms = 0, longest_stall_ms = 0;
};

// `file`: a path that is written to. kInvalid: the device holds fewer than 2 * tokens + 64.
Result<ContextCosts> measure_context_costs(std::unique_ptr<Device> device, int tokens, const std::string& file);

}  // namespace hotaru
