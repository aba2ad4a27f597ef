// The definition of linear_int8: the formula of the header, row by row.
#include "kernels/kernel_list.h"

namespace hotaru {

void linear_int8_ref(const LinearInt8Args& args, Slice slice) {
  const auto inputs = static_cast<size_t>(args.inputs);
  const auto outputs = static_cast<size_t>(args.outputs);
  const auto tokens = static_cast<size_t>(args.tokens);
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  for (size_t n = blocks.begin * kRowsPerBlock; n < blocks.end * kRowsPerBlock && n < outputs; n++) {
    for (size_t t = 0; t < tokens; t++) {
      const uint8_t* u = args.input + t * inputs;  // [K]
      int32_t acc = args.offset[n];
      for (size_t k = 0; k < inputs; k++) acc += u[k] * args.weight[packed_int8_index(n, k, inputs)];
      args.output[t * outputs + n] = static_cast<float>(acc) * args.scale[n];
    }
  }
}

}  // namespace hotaru
