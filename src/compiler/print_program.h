// A program as text, one line a call: buffers with their width and type, tensors with their shape, static scales.
#pragma once

#include <string>

#include "format/hef.h"

namespace hotaru {

//   layers.0.o: residual f32 [T, 256] += linear(attended 8-bit [T, 256] scale 0.01 zero 124; layers.0.o.weight int4
//   [256, 256])
std::string print_program(const HefFile& hef, const fb::Program& program);

}  // namespace hotaru
