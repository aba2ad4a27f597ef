// What a HEF's adapters add behind the linears of a program: pointers into the file, and the vectors made from it when
// the device opens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "format/hef.h"
#include "kernels/kernel_set.h"
#include "kernels/low_rank.h"

namespace hotaru {

// Rows [begin, end) of a step belong to contexts with this adapter.
struct AdapterRun {
  int adapter = 0;
  int begin = 0;
  int end = 0;
};

struct PlannedAddition {
  int adapter = 0;
  LowRankArgs args;  // of row 0; complete but for tokens and workspace
};

// Where a linear's input and output lie.
struct LinearPlace {
  const fb::LinearCall* call = nullptr;
  const uint8_t* input = nullptr;
  const uint8_t* high = nullptr;  // the second plane of 16-bit inputs
  float* output = nullptr;
  int inputs = 0;
  int outputs = 0;
};

class AdapterPlanner {
 public:
  explicit AdapterPlanner(const HefFile& hef) : hef_(&hef) {}

  // Of all adapters, what they add to this linear. The planner outlives what it returns.
  std::vector<PlannedAddition> additions(const LinearPlace& place);
  // Of the vectors made so far.
  [[nodiscard]] size_t vector_bytes() const;

 private:
  PlannedAddition plan(const fb::Adapter& adapter, const fb::AdapterSite& site, const LinearPlace& place);
  const std::vector<int32_t>& offsets(const fb::Tensor& matrix, std::span<const std::byte> bytes, int zero_point);
  const std::vector<float>& scales(std::span<const std::byte> row_scales, float factor);

  // Programs share linears: the same vector is made once. By the bytes that it is made from and what they are
  // multiplied with.
  template <typename Factor>
  using Key = std::pair<const std::byte*, Factor>;
  const HefFile* hef_;
  std::map<Key<int>, std::vector<int32_t>> offsets_;
  std::map<Key<float>, std::vector<float>> scales_;
};

// One thread's part of the additions behind one linear, for the rows of all runs.
struct AddingThread {
  const KernelSet* kernels = nullptr;
  std::byte* workspace = nullptr;
  Slice slice;
};
void play_additions(std::span<const PlannedAddition> additions, std::span<const AdapterRun> runs,
                    const AddingThread& thread);

}  // namespace hotaru
