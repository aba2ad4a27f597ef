// Checks of single kernel calls; program_check.h is the entry.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "format/hef_generated.h"

namespace hotaru {

// What the calls of one program may refer to.
struct ProgramScope {
  const fb::Hef* meta = nullptr;
  const fb::Program* program = nullptr;
  std::span<const std::byte> weights;
  uint32_t step_rows = 0;  // rows that a step may leave behind for a gather: the largest body program's max_rows
  bool is_output = false;  // "head": rows of a finished step in, logits out
};

Result<void> check_call(const ProgramScope& scope, const fb::Call& call);

// Ids of the buffers in which body programs leave a step to the head: the residual stream, then the shared ones.
std::vector<int> handed_over(const fb::Program& program);

// Buffer `id` exists; and its rows have exactly `row_bytes`.
Result<const fb::Buffer*> find_buffer(const ProgramScope& scope, std::string_view field, int id);
Result<const fb::Buffer*> find_buffer(const ProgramScope& scope, std::string_view field, int id, uint64_t row_bytes);

}  // namespace hotaru
