// The kernels of one instruction set. A kernel that an ISA lacks is taken from the next one below it, in the end from
// ref.
#pragma once

#include "kernels/attention/attention.h"
#include "kernels/gated_linear/gated_linear.h"
#include "kernels/linear_int4/linear_int4.h"
#include "kernels/linear_int8/linear_int8.h"
#include "kernels/rowwise/rowwise.h"
#include "tensor/isa.h"

namespace hotaru {

struct KernelSet {
  Isa isa = Isa::kRef;
  LinearInt4Kernel linear_int4 = nullptr;
  LinearInt8Kernel linear_int8 = nullptr;
  AttentionKernel attention = nullptr;
  EmbedKernel embed = nullptr;
  GatherKernel gather = nullptr;
  RmsNormKernel rms_norm = nullptr;
  RopeKernel rope = nullptr;
  SwiGluKernel swiglu = nullptr;
  GatedLinearKernel gated_linear = nullptr;  // null: as two ops (play_gated_linear)
};

// The set for an ISA that this CPU has (CHECKed).
const KernelSet& kernel_set(Isa isa);

// For AMX, every thread that plays kernels must load its tile configuration once per job; a no-op elsewhere.
void prepare_thread(Isa isa);
void release_thread(Isa isa);

}  // namespace hotaru
