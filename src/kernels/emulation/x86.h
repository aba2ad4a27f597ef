// x86 intrinsics as portable code (SIMDe, and a model of AMX tiles), so that a kernel's logic is tested on machines
// that lack its ISA. Only for tests: cmake/HotaruEmulation.cmake compiles every kernels/<op>/<isa>.cc a second time,
// for the plain target, inside `namespace emulated` with HOTARU_EMULATE_ISA defined; emulation/tested_kernels.h lists
// the results. An intrinsic that SIMDe 0.7.4 lacks gets a few lines here.
#pragma once

#define SIMDE_ENABLE_NATIVE_ALIASES
#pragma GCC diagnostic ignored "-Wpsabi"
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/fma.h>
