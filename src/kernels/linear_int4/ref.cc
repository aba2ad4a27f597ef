// The definition of linear_int4: the formula of the header, row by row.
#include "kernels/kernel_list.h"

namespace hotaru {
namespace {

struct Row {
  int8_t* code;         // [K]
  uint8_t* multiplier;  // [K / 32]
};

void unpack_row(const uint8_t* weight, size_t n, size_t inputs, const Row& row) {
  for (size_t k = 0; k < inputs; k++) {
    const int nibble = weight[packed_int4_byte(n, k, inputs)] >> packed_int4_shift(k) & 15;
    row.code[k] = static_cast<int8_t>(nibble - 8);
  }
  for (size_t g = 0; g < inputs / kGroupInputs; g++) {
    row.multiplier[g] = weight[packed_int4_multiplier(n, g, inputs)];
  }
}

int32_t accumulate(int32_t offset, const uint8_t* u, const Row& row, size_t inputs) {
  int32_t acc = offset;
  for (size_t g = 0; g < inputs / kGroupInputs; g++) {
    int32_t sum = 0;
    for (size_t k = g * kGroupInputs; k < (g + 1) * kGroupInputs; k++) sum += u[k] * row.code[k];
    acc += row.multiplier[g] * sum;
  }
  return acc;
}

}  // namespace

void linear_int4_ref(const LinearInt4Args& args, Slice slice) {
  const auto inputs = static_cast<size_t>(args.inputs);
  const auto outputs = static_cast<size_t>(args.outputs);
  const auto tokens = static_cast<size_t>(args.tokens);
  const Slice::Range blocks = slice.range(padded_rows(outputs) / kRowsPerBlock);
  const Row row{reinterpret_cast<int8_t*>(args.workspace), reinterpret_cast<uint8_t*>(args.workspace) + inputs};
  for (size_t n = blocks.begin * kRowsPerBlock; n < blocks.end * kRowsPerBlock && n < outputs; n++) {
    unpack_row(args.weight, n, inputs, row);
    for (size_t t = 0; t < tokens; t++) {
      float y = static_cast<float>(accumulate(args.offset[n], args.input + t * inputs, row, inputs)) * args.scale[n];
      if (args.bias != nullptr) y = y + args.bias[n];
      float& out = args.output[t * outputs + n];
      out = args.add_to_output ? out + y : y;
    }
  }
}

}  // namespace hotaru
