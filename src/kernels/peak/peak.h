// The most multiply-adds of 8-bit integers that a thread can do: the instructions of each ISA's linear_int4, on
// registers alone. What kernels are measured against; nothing is computed here.
#pragma once

#include <cstdint>

#include "tensor/isa.h"

namespace hotaru {

// Multiply-adds of some rounds, all of them done when this returns; 0 if there is no probe for the ISA.
// prepare_thread(isa) comes before, release_thread(isa) after.
uint64_t peak_multiply_adds(Isa isa, uint64_t rounds);

// One per ISA: rounds of 1000 vector products or so.
uint64_t peak_avx2(uint64_t rounds);
uint64_t peak_avx_vnni(uint64_t rounds);
uint64_t peak_avx512_vnni(uint64_t rounds);
uint64_t peak_amx(uint64_t rounds);

}  // namespace hotaru
