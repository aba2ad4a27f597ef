// 4-bit weights for many tokens with AVX-512 VNNI: one, two or four blocks at a time are unpacked, multipliers folded
// in (fold_avx512.h), while the first tokens go by.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/linear_int4/fold_avx512.h"
#include "kernels/linear_panel_avx512.h"

namespace hotaru {
namespace {

// Inputs of a panel at most; sums wait in memory between panels. Four blocks of 512 inputs, 32 KB, stay in L1, so that
// few tokens unpack them fast; of 1536, 96 KB, in L2, which costs many tokens less than sums that come and go.
constexpr size_t panel_inputs(size_t tokens) { return tokens < 48 ? 512 : 1536; }

// Unpacks a group of some blocks.
template <int kBlocks>
struct FoldGroups {
  const uint8_t* packed[kBlocks];
  int8_t* weights[kBlocks];

  void operator()(size_t input) const {
    HOTARU_UNROLL(4)
    for (size_t b = 0; b < kBlocks; b++) {
      fold_group(packed[b] + input / kGroupInputs * kGroupBytes, weights[b] + input * kRowsPerBlock);
    }
  }
};

struct FoldedPanels {
  const PanelJob& job;    // at least 12 tokens
  const uint8_t* weight;  // packed
  std::byte* workspace;   // linear_workspace_bytes

  // All tokens with these blocks, in parts of K; `step` blocks further on come the next ones.
  template <int kBlocks, typename Store>
  void multiply(const size_t (&block)[kBlocks], size_t step, const Store& store) const {
    const size_t most = panel_inputs(job.tokens);
    const size_t groups = job.inputs / kGroupInputs;
    const size_t parts = (job.inputs + most - 1) / most;
    const size_t panel_bytes = (parts > 1 ? most : job.inputs) * kRowsPerBlock;
    auto* unpacked = reinterpret_cast<int8_t*>(workspace);
    auto* sums = reinterpret_cast<int32_t*>(unpacked + kBlocks * panel_bytes);
    for (size_t p = 0; p < parts; p++) {
      const size_t begin = groups * p / parts;
      const size_t end = groups * (p + 1) / parts;
      // After the last part come the first groups of the next blocks, or what lies behind the weights.
      const size_t next = p + 1 < parts ? end : step * groups;
      Panels<kBlocks, FoldGroups<kBlocks>> panels;
      panels.next_bytes = (groups / parts + 1) * kGroupBytes;
      for (size_t b = 0; b < kBlocks; b++) {
        const uint8_t* packed = weight + block[b] * groups * kGroupBytes;
        int8_t* weights = unpacked + b * panel_bytes;
        panels.block[b] = block[b];
        panels.weights[b] = weights;
        panels.next[b] = packed + next * kGroupBytes;
        panels.unpack.packed[b] = packed + begin * kGroupBytes;
        panels.unpack.weights[b] = weights;
      }
      panel_all_tokens_512(job, {begin * kGroupInputs, end * kGroupInputs, sums}, panels, store);
    }
  }
};

}  // namespace
}  // namespace hotaru
