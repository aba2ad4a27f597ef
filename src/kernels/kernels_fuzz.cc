// The linear kernels of this CPU, gated and plain, against ref on shapes and fills of the fuzzer's choice.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>

#include "kernels/gated_linear/gated_problem.h"
#include "kernels/kernel_list.h"
#include "kernels/kernel_set.h"
#include "kernels/linear_problem.h"
#include "tensor/isa.h"

namespace hotaru {
namespace {

struct FuzzInput {
  uint8_t tokens, inputs, outputs, flags, slices;
  uint64_t seed;
};

template <typename Problem>
void compare(const Problem& problem, Isa isa, void (*kernel)(const typename Problem::Args&, Slice),
             void (*ref)(const typename Problem::Args&, Slice), int slices) {
  const std::vector<float> wanted = run_linear(problem, ref, 1);
  const std::vector<float> found = run_linear(problem, kernel, slices);
  if (std::memcmp(found.data(), wanted.data(), wanted.size() * sizeof(float)) == 0) return;
  fmt::print(stderr, "{} differs from ref: T {} K {} N {}\n", isa_name(isa), problem.shape.tokens, problem.shape.inputs,
             problem.shape.outputs);
  std::abort();
}

// F is a multiple of 64 there, so its outputs are.
void compare_gated(LinearShape shape, uint64_t seed, Isa isa, int slices) {
  shape.outputs = (shape.outputs + 127) / 128 * 128;
  shape.add_to_output = false;
  GatedProblem problem(shape, false, seed);
  bool is_same = problem.found(kernel_set(isa), slices) == problem.wanted();
  if (can_tile_products(kernel_set(isa), shape.tokens)) {
    prepare_thread(isa);
    is_same = is_same && problem.found_in_tiles(kernel_set(isa).gated_linear, slices) == problem.wanted();
    release_thread(isa);
  }
  if (is_same) return;
  fmt::print(stderr, "{}, gated, differs from ref: T {} K {} N {}\n", isa_name(isa), shape.tokens, shape.inputs,
             shape.outputs);
  std::abort();
}

void run(const FuzzInput& input) {
  const LinearShape shape = {1 + input.tokens % 80,   32 * (1 + input.inputs % 56),
                             1 + input.outputs % 140, (input.flags & 1) != 0,
                             (input.flags & 2) != 0,  static_cast<Fill>(input.flags >> 2 & 3)};
  const int slices = 1 + input.slices % 4;
  const LinearInt4Problem int4(shape, input.seed);
  const LinearInt8Problem int8(shape, input.seed);
  for (const Isa isa : available_isas()) {
    prepare_thread(isa);
    compare(int4, isa, kernel_set(isa).linear_int4, linear_int4_ref, slices);
    compare(int8, isa, kernel_set(isa).linear_int8, linear_int8_ref, slices);
    release_thread(isa);
    compare_gated(shape, input.seed, isa, slices);
  }
}

}  // namespace
}  // namespace hotaru

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hotaru::FuzzInput input = {};
  std::memcpy(&input, data, size < sizeof input ? size : sizeof input);
  hotaru::run(input);
  return 0;
}
