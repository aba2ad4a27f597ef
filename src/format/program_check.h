// Semantic checks of a HEF's programs: every call's tensors and buffers have exactly the sizes that its kernel will
// touch, integers cannot overflow, parameters are finite. After this a device needs no bounds checks of its own.
#pragma once

#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/thread_pool.h"
#include "format/hef_generated.h"

namespace hotaru {

inline constexpr uint32_t kPlannedPageTokens = 64;
inline constexpr uint64_t kMaxPlannedContext = 32768;  // int32 sums of attention, kernels/attention/attention.h
inline constexpr uint64_t kMaxPlannedBytes = uint64_t{1} << 44;  // 16 TiB
inline constexpr uint64_t kMaxBufferBytes = INT32_MAX;           // kernels may index a buffer's bytes with an int

// Expects a meta whose shape, tensors, KV plan and memory plan were checked before.
Result<void> check_programs(const fb::Hef& meta, std::span<const std::byte> weights);
// Group multipliers of every int4 tensor are at most 15, on which the int32 sums rely. Touches each of their cache
// lines.
Result<void> check_multipliers(const fb::Hef& meta, std::span<const std::byte> weights, ThreadPool* pool);

}  // namespace hotaru
