// Declares every listed kernel: `HOTARU_KERNEL(op, isa)` in an op's kernels.inc declares op_isa, puts it in the table
// of kernel_set.cc and has it tested. The list is the only place besides the kernel's own file. Lines of one processor
// family stand between `#if defined(__x86_64__)` or `#if defined(__aarch64__)` and `#endif`.
#pragma once

#include "kernels/kernel_set.h"

namespace hotaru {
#define HOTARU_ARGS_linear_int4 LinearInt4Args
#define HOTARU_ARGS_linear_int8 LinearInt8Args
#define HOTARU_ARGS_attention AttentionArgs
#define HOTARU_ARGS_embed EmbedArgs
#define HOTARU_ARGS_gather GatherArgs
#define HOTARU_ARGS_rms_norm RmsNormArgs
#define HOTARU_ARGS_rope RopeArgs
#define HOTARU_ARGS_swiglu SwiGluArgs
#define HOTARU_ARGS_gated_linear GatedLinearArgs
#define HOTARU_DECLARE_KERNEL(op, isa) void op##_##isa(const HOTARU_ARGS_##op& args, Slice slice);
#define HOTARU_KERNEL(op, isa) HOTARU_DECLARE_KERNEL(op, isa)
#include "kernels/kernels.inc"
#undef HOTARU_KERNEL

// The ISA of a list line: `isa_of_kernel::avx2`. Lower case because they are pasted from the list.
namespace isa_of_kernel {
inline constexpr Isa ref = Isa::kRef;
inline constexpr Isa avx2 = Isa::kAvx2;
inline constexpr Isa avx_vnni = Isa::kAvxVnni;
inline constexpr Isa avx512_vnni = Isa::kAvx512Vnni;
inline constexpr Isa amx = Isa::kAmx;
inline constexpr Isa neon = Isa::kNeon;
}  // namespace isa_of_kernel
}  // namespace hotaru
