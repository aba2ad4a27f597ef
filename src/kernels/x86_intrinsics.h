// What x86 kernel files include for intrinsics: the compiler's, or in tests a portable model of an ISA that the machine
// may lack (emulation/x86.h).
#pragma once

#if defined(HOTARU_EMULATE_ISA)
#include "kernels/emulation/x86.h"
#else
#include <immintrin.h>
#endif
