// How kernel tests find their kernels. Put a line in kernels/<op>/kernels.inc and a file kernels/<op>/<isa>.cc, and
//
//   for (const TestedKernel<LinearInt4Args>& kernel : tested_kernels<LinearInt4Args>()) kernel.run(args, slice);
//
// runs it: natively where this CPU has the ISA, and on x86 also compiled against the portable intrinsics of
// emulation/x86.h, so that its logic is proven equal to ref on every machine. A kernel file includes
// kernels/x86_intrinsics.h instead of <immintrin.h>, unrolls with HOTARU_UNROLL, and includes only headers that
// emulated_kernels.h names or that need nothing but intrinsics. Around native runs stand prepare_thread(kernel.isa)
// and release_thread(kernel.isa).
#pragma once

#include <string>
#include <type_traits>
#include <vector>

#include "kernels/emulation/emulated_kernels.h"
#include "tensor/isa.h"

namespace hotaru {

template <typename Args>
struct TestedKernel {
  std::string name;  // "linear_int4_avx2"
  Isa isa;
  bool emulated;
  void (*run)(const Args&, Slice);

  [[nodiscard]] std::string how() const { return name + (emulated ? ": emulated" : ": ran on the CPU"); }
};

template <typename Args, typename KernelArgs>
void add_if_op(std::vector<TestedKernel<Args>>& list, TestedKernel<KernelArgs> kernel) {
  if constexpr (std::is_same_v<Args, KernelArgs>) {
    if (kernel.emulated || isa_available(kernel.isa)) list.push_back(kernel);
  }
}

// Every kernel of the op that takes Args, ref excepted.
template <typename Args>
std::vector<TestedKernel<Args>> tested_kernels() {
  std::vector<TestedKernel<Args>> list;
#if defined(__x86_64__)
#define HOTARU_ADD_EMULATED(op, isa) \
  add_if_op(list,                    \
            TestedKernel<HOTARU_ARGS_##op>{#op "_" #isa, isa_of_kernel::isa, true, ::emulated::hotaru::op##_##isa});
#else
#define HOTARU_ADD_EMULATED(op, isa)
#endif
#define HOTARU_KERNEL(op, isa)                                                                                      \
  if constexpr (isa_of_kernel::isa != Isa::kRef) {                                                                  \
    add_if_op(list, TestedKernel<HOTARU_ARGS_##op>{#op "_" #isa, isa_of_kernel::isa, false, ::hotaru::op##_##isa}); \
    HOTARU_ADD_EMULATED(op, isa)                                                                                    \
  }
#include "kernels/kernels.inc"
#undef HOTARU_KERNEL
#undef HOTARU_ADD_EMULATED
  return list;
}

}  // namespace hotaru
