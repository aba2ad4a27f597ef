// 4-bit weights for many tokens with AVX-512 VNNI: one, two or four blocks are unpacked at a time, multipliers folded
// in (fold_avx512.h), and all tokens go by.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/linear_int4/fold_avx512.h"
#include "kernels/linear_panel_avx512.h"

namespace hotaru {
namespace {

// Inputs of a panel: four blocks of them, 32 KB, stay in L1 beside the tokens that go by.
constexpr size_t kPanelInputs = 512;

struct FoldedPanels {
  const PanelJob& job;
  const uint8_t* weight;  // packed
  std::byte* workspace;   // linear_workspace_bytes

  // All tokens with these blocks, in parts of K; `step` blocks further on come the next ones.
  template <int kBlocks, typename Store>
  void multiply(const size_t (&block)[kBlocks], size_t step, const Store& store) const {
    const size_t groups = job.inputs / kGroupInputs;
    const size_t parts = (job.inputs + kPanelInputs - 1) / kPanelInputs;
    const size_t panel_bytes = (parts > 1 ? kPanelInputs : job.inputs) * kRowsPerBlock;
    auto* unpacked = reinterpret_cast<int8_t*>(workspace);
    auto* sums = reinterpret_cast<int32_t*>(unpacked + kBlocks * panel_bytes);
    Panels<kBlocks> panels;
    for (size_t p = 0; p < parts; p++) {
      const size_t begin = groups * p / parts;
      const size_t end = groups * (p + 1) / parts;
      // After the last part come the first groups of the next blocks, or what lies behind the weights.
      const size_t next = p + 1 < parts ? end : step * groups;
      panels.next_bytes = (groups / parts + 1) * kGroupBytes;
      for (size_t b = 0; b < kBlocks; b++) {
        const uint8_t* packed = weight + block[b] * groups * kGroupBytes;
        int8_t* weights = unpacked + b * panel_bytes;
        fold_multipliers(packed + begin * kGroupBytes, end - begin, weights);
        panels.block[b] = block[b];
        panels.weights[b] = weights;
        panels.next[b] = packed + next * kGroupBytes;
      }
      panel_all_tokens_512(job, {begin * kGroupInputs, end * kGroupInputs, sums}, panels, store);
    }
  }
};

}  // namespace
}  // namespace hotaru
