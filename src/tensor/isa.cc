#include "tensor/isa.h"

#include <array>
#include <cstdint>
#include <cstdlib>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace hotaru {
namespace {

constexpr std::array<Isa, 6> kAllIsas = {Isa::kRef, Isa::kAvx2, Isa::kAvxVnni, Isa::kAvx512Vnni, Isa::kAmx, Isa::kNeon};

#if defined(__x86_64__)

struct CpuidLeaf {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuidLeaf cpuid(uint32_t leaf, uint32_t subleaf) {
  CpuidLeaf out;
  __get_cpuid_count(leaf, subleaf, &out.eax, &out.ebx, &out.ecx, &out.edx);
  return out;
}

constexpr bool bit(uint32_t word, int index) { return ((word >> index) & 1U) != 0; }

// What the processor has (CPUID) and whose registers the operating system saves (XCR0): both are needed. Written out
// because GCC 12's __builtin_cpu_supports knows neither AVX-VNNI nor AMX.
struct X86Features {
  bool avx2_fma = false;
  bool avx_vnni = false;
  bool avx512_vnni = false;
  bool amx_int8 = false;
};

uint64_t read_xcr0() {
  uint32_t low = 0;
  uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

// Linux gives a process the 8 KB of tile state only on request; threads made later inherit the permission.
bool request_amx_permission() {
  constexpr long kArchReqXcompPerm = 0x1023;
  constexpr long kXfeatureXtiledata = 18;
  return ::syscall(SYS_arch_prctl, kArchReqXcompPerm, kXfeatureXtiledata) == 0;
}

X86Features detect() {
  constexpr uint64_t kYmmState = 0x6;       // SSE, AVX
  constexpr uint64_t kZmmState = 0xE6;      // and opmask, both halves of ZMM
  constexpr uint64_t kTileState = 0x60000;  // TILECFG, TILEDATA
  X86Features found;
  const CpuidLeaf basic = cpuid(1, 0);
  const bool has_xgetbv = bit(basic.ecx, 27);
  const bool has_avx = bit(basic.ecx, 28);
  if (!has_xgetbv || !has_avx) return found;
  const uint64_t xcr0 = read_xcr0();
  const CpuidLeaf seven = cpuid(7, 0);
  const CpuidLeaf seven_one = seven.eax >= 1 ? cpuid(7, 1) : CpuidLeaf{};
  found.avx2_fma = (xcr0 & kYmmState) == kYmmState && bit(seven.ebx, 5) && bit(basic.ecx, 12);
  found.avx_vnni = found.avx2_fma && bit(seven_one.eax, 4);
  const bool f = bit(seven.ebx, 16);
  const bool dq = bit(seven.ebx, 17);
  const bool bw = bit(seven.ebx, 30);
  const bool vl = bit(seven.ebx, 31);
  const bool vnni = bit(seven.ecx, 11);
  found.avx512_vnni = found.avx2_fma && (xcr0 & kZmmState) == kZmmState && f && dq && bw && vl && vnni;
  const bool tile = bit(seven.edx, 24);
  const bool int8 = bit(seven.edx, 25);
  // AMX files use AVX-512 for everything around the tiles.
  found.amx_int8 = found.avx512_vnni && tile && int8 && (xcr0 & kTileState) == kTileState && request_amx_permission();
  return found;
}

bool detect_isa(Isa isa) {
  static const X86Features features = detect();
  switch (isa) {
    case Isa::kRef:
      return true;
    case Isa::kAvx2:
      return features.avx2_fma;
    case Isa::kAvxVnni:
      return features.avx_vnni;
    case Isa::kAvx512Vnni:
      return features.avx512_vnni;
    case Isa::kAmx:
      return features.amx_int8;
    case Isa::kNeon:
      return false;
  }
  return false;
}

bool is_compiled(Isa isa) { return isa != Isa::kNeon; }

#elif defined(__aarch64__)

// Advanced SIMD is part of every AArch64 processor.
bool detect_isa(Isa isa) { return isa == Isa::kRef || isa == Isa::kNeon; }
bool is_compiled(Isa isa) { return isa == Isa::kRef || isa == Isa::kNeon; }

#else

bool detect_isa(Isa isa) { return isa == Isa::kRef; }
bool is_compiled(Isa isa) { return isa == Isa::kRef; }

#endif

std::string names_of(const std::vector<Isa>& isas) {
  std::string text;
  for (const Isa isa : isas) {
    if (!text.empty()) text += ", ";
    text += isa_name(isa);
  }
  return text;
}

}  // namespace

std::string_view isa_name(Isa isa) {
  switch (isa) {
    case Isa::kRef:
      return "ref";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvxVnni:
      return "avx_vnni";
    case Isa::kAvx512Vnni:
      return "avx512_vnni";
    case Isa::kAmx:
      return "amx";
    case Isa::kNeon:
      return "neon";
  }
  return "?";
}

bool isa_available(Isa isa) { return detect_isa(isa); }

std::vector<Isa> compiled_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kAllIsas) {
    if (is_compiled(isa)) isas.push_back(isa);
  }
  return isas;
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : compiled_isas()) {
    if (isa_available(isa)) isas.push_back(isa);
  }
  return isas;
}

Isa best_isa() { return available_isas().back(); }

Result<Isa> parse_isa(std::string_view name) {
  if (name.empty()) {
    const char* wish = std::getenv("HOTARU_ISA");
    if (wish == nullptr || *wish == '\0') return best_isa();
    name = wish;
  }
  for (const Isa isa : kAllIsas) {
    if (isa_name(isa) != name) continue;
    if (is_compiled(isa) && isa_available(isa)) return isa;
    return not_supported("instruction set '{}' is not available here; this machine has {}", name,
                         names_of(available_isas()));
  }
  return invalid("instruction set '{}' is unknown; this machine has {}", name, names_of(available_isas()));
}

}  // namespace hotaru
