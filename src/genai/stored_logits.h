// For tests of contexts: plays what is pending, without an engine.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "genai/context.h"

namespace hotaru {

// Ids of a vocabulary of 64.
inline std::vector<int32_t> count_up(int count) {
  std::vector<int32_t> ids(static_cast<size_t>(count));
  for (size_t i = 0; i < ids.size(); i++) ids[i] = static_cast<int32_t>(i * 7 % 64);
  return ids;
}

// Stores what is pending, `chunk` tokens at a time, and computes the logits after it.
inline std::vector<float> stored_logits(Context& context, int chunk = 128) {
  Device& device = context.device();
  context.make_last_pending();
  int32_t last_row = -1;
  while (context.pending_tokens() > 0) {
    const int rows = std::min({chunk, context.pending_tokens(), device.info().prefill_rows});
    EXPECT_TRUE(context.reserve(rows));
    std::vector<StepRow> step;
    context.add_rows(rows, step);
    device.step(step);
    context.mark_stored(rows);
    last_row = rows - 1;
  }
  device.compute_logits({&last_row, 1});
  return {device.logits(0).begin(), device.logits(0).end()};
}

}  // namespace hotaru
