// What a kernel call has to do, counted, not measured: for profiles, and to decide how many threads it is worth.
#pragma once

#include <cstdint>

#include "device/player.h"
#include "tensor/isa.h"

namespace hotaru {

struct CallWork {
  // That come from the model or the KV cache; a step reads each of them once, however many rows it has.
  uint64_t memory_bytes = 0;
  uint64_t activation_bytes = 0;  // read and written, all rows
  uint64_t multiply_adds = 0;     // of matrix products
  uint64_t input_bytes = 0;       // of the activations: what every part reads anew
};

CallWork work_of(const PlannedCall& call, const StepInputs& step);

// Parts worth making of that work for so many threads.
int parts_of(const CallWork& work, int threads, Isa isa);

}  // namespace hotaru
