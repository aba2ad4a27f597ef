// Reads kernels.inc of every op: `HOTARU_KERNEL(op, isa)` declares op_isa and puts it in the table of kernel_set.cc.
// Each op's ISAs are listed in rising order of preference; the list is the only place besides the kernel's own file.
#pragma once

#include "kernels/kernel_set.h"

namespace hotaru {
#define HOTARU_KERNEL_linear_int4(isa) void linear_int4_##isa(const LinearInt4Args& args, Slice slice);
#define HOTARU_KERNEL_linear_int8(isa) void linear_int8_##isa(const LinearInt8Args& args, Slice slice);
#define HOTARU_KERNEL_attention(isa) void attention_##isa(const AttentionArgs& args, Slice slice);
#define HOTARU_KERNEL_embed(isa) void embed_##isa(const EmbedArgs& args, Slice slice);
#define HOTARU_KERNEL_gather(isa) void gather_##isa(const GatherArgs& args, Slice slice);
#define HOTARU_KERNEL_rms_norm(isa) void rms_norm_##isa(const RmsNormArgs& args, Slice slice);
#define HOTARU_KERNEL_rope(isa) void rope_##isa(const RopeArgs& args, Slice slice);
#define HOTARU_KERNEL_swiglu(isa) void swiglu_##isa(const SwiGluArgs& args, Slice slice);
#define HOTARU_KERNEL(op, isa) HOTARU_KERNEL_##op(isa)
#include "kernels/attention/kernels.inc"
#include "kernels/linear_int4/kernels.inc"
#include "kernels/linear_int8/kernels.inc"
#include "kernels/rowwise/kernels.inc"
#undef HOTARU_KERNEL
}  // namespace hotaru
