// Declares the emulated twin of every listed x86 kernel: emulated::hotaru::op_isa. Also what the generated sources
// include before a kernel's file: everything such a file may include must stand here, outside the namespace.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "base/slice.h"
#include "kernels/kernel_list.h"
#include "kernels/packed.h"
#include "tensor/numerics.h"
#if defined(HOTARU_EMULATE_ISA)
#include "kernels/x86_intrinsics.h"
#endif

namespace emulated::hotaru {
using namespace ::hotaru;
#define HOTARU_KERNEL(op, isa) HOTARU_DECLARE_KERNEL(op, isa)
#include "kernels/kernels.inc"
#undef HOTARU_KERNEL
}  // namespace emulated::hotaru
