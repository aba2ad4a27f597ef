// Instruction sets that kernels are written for, in rising order of preference.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hotaru {

enum class Isa { kRef, kAvx2, kAvxVnni, kAvx512Vnni, kAmx, kNeon };

std::string_view isa_name(Isa isa);  // "ref", "avx2", "avx_vnni", "avx512_vnni", "amx", "neon"
bool isa_available(Isa isa);         // this CPU and operating system (AMX asks the kernel for permission)
std::vector<Isa> compiled_isas();    // what this build contains, ref first
std::vector<Isa> available_isas();   // compiled and usable here, ref first
Isa best_isa();                      // last of available_isas()
// "" = HOTARU_ISA or best. Unknown or absent: an error that lists those this machine has.
Result<Isa> parse_isa(std::string_view name);

}  // namespace hotaru
