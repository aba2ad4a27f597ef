#include "kernels/kernel_set.h"

#include <array>

#include "base/check.h"
#include "kernels/kernel_list.h"
#include "kernels/tile_config/tile_config.h"

namespace hotaru {
namespace {

using KernelSets = std::array<KernelSet, 6>;  // by Isa

constexpr size_t index(Isa isa) { return static_cast<size_t>(isa); }

// Where the kernels come from that `isa` lacks.
constexpr Isa below(Isa isa) {
  switch (isa) {
    case Isa::kAmx:
      return Isa::kAvx512Vnni;
    case Isa::kAvx512Vnni:
    case Isa::kAvxVnni:
      return Isa::kAvx2;
    case Isa::kAvx2:
    case Isa::kNeon:
    case Isa::kRef:
      return Isa::kRef;
  }
  return Isa::kRef;
}

template <typename Kernel>
void inherit(Kernel& kernel, Kernel lower) {
  if (kernel == nullptr) kernel = lower;
}

void inherit(KernelSet& set, const KernelSet& lower) {
  inherit(set.linear_int4, lower.linear_int4);
  inherit(set.linear_int8, lower.linear_int8);
  inherit(set.attention, lower.attention);
  inherit(set.embed, lower.embed);
  inherit(set.gather, lower.gather);
  inherit(set.rms_norm, lower.rms_norm);
  inherit(set.rope, lower.rope);
  inherit(set.swiglu, lower.swiglu);
}

KernelSets build_sets() {
  KernelSets sets;
#define HOTARU_KERNEL(op, isa) sets[index(isa_of_kernel::isa)].op = op##_##isa;
#include "kernels/kernels.inc"
#undef HOTARU_KERNEL
  for (size_t i = 0; i < sets.size(); i++) {
    sets[i].isa = static_cast<Isa>(i);
    inherit(sets[i], sets[index(below(sets[i].isa))]);  // below(isa) comes before isa: it is complete
  }
  return sets;
}

}  // namespace

const KernelSet& kernel_set(Isa isa) {
  CHECK(isa_available(isa));
  static const KernelSets sets = build_sets();
  return sets[index(isa)];
}

void prepare_thread(Isa isa) {
  if (isa == Isa::kAmx) load_tile_config();
}

void release_thread(Isa isa) {
  if (isa == Isa::kAmx) release_tiles();
}

}  // namespace hotaru
