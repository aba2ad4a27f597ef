// What x86 kernel files include for intrinsics: the compiler's, or in tests a portable model of an ISA that the machine
// may lack (emulation/x86.h).
#pragma once

#if defined(HOTARU_EMULATE_ISA)
#include "kernels/emulation/x86.h"
#define HOTARU_IN_ORDER(sum) static_cast<void>(sum)
#define HOTARU_UNROLL(count)
#define HOTARU_RELOAD(pointer) static_cast<void>(pointer)
#else
// GCC 12 takes its own _mm512_undefined_*() for a use of an uninitialised variable.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#if !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#pragma GCC diagnostic pop
// Keeps the additions into a vector accumulator in the order written. Without it GCC 12 reassociates integer sums into
// trees whose leaves all live at once, and spills them: three times slower. Costs no instruction.
#define HOTARU_IN_ORDER(sum) asm("" : "+v"(sum))
// Makes the compiler load again what it has loaded through the same address before, when keeping it would spill.
#define HOTARU_RELOAD(pointer) asm("" : "+r"(pointer))
// Before a loop over an array of accumulators: unrolled, the array becomes registers. (Emulated, it would only cost
// minutes of compiling.)
#define HOTARU_PRAGMA(text) _Pragma(#text)
#define HOTARU_UNROLL(count) HOTARU_PRAGMA(GCC unroll count)
#if defined(__AMX_TILE__) && !defined(__clang__)
// GCC 12's own does not say that it reads memory: stores before it could be moved behind it.
#undef _tile_loadd
#define _tile_loadd(tile, base, stride) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" #tile ::"r"((const void*)(base)), "r"((long)(stride)) : "memory")
#endif
#endif
