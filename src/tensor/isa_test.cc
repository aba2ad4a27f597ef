#include "tensor/isa.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace hotaru {
namespace {

using ::testing::HasSubstr;

TEST(Isa, RefIsAlwaysThereAndFirst) {
  EXPECT_EQ(compiled_isas().front(), Isa::kRef);
  EXPECT_EQ(available_isas().front(), Isa::kRef);
  EXPECT_EQ(best_isa(), available_isas().back());
  for (const Isa isa : available_isas()) EXPECT_TRUE(isa_available(isa));
}

#if defined(__x86_64__)
// The compiler's own detection agrees where it knows the instruction set.
TEST(Isa, AgreesWithTheCompiler) {
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  EXPECT_EQ(isa_available(Isa::kAvx2), avx2);
  const bool avx512_vnni = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                           __builtin_cpu_supports("avx512vnni");
  EXPECT_EQ(isa_available(Isa::kAvx512Vnni), avx2 && avx512_vnni);
  EXPECT_FALSE(isa_available(Isa::kNeon));
}
#endif

TEST(ParseIsa, ByNameByEnvironmentOrBest) {
  ::unsetenv("HOTARU_ISA");
  EXPECT_EQ(*parse_isa(""), best_isa());
  EXPECT_EQ(*parse_isa("ref"), Isa::kRef);
  ::setenv("HOTARU_ISA", "ref", 1);
  EXPECT_EQ(*parse_isa(""), Isa::kRef);
  EXPECT_EQ(*parse_isa(isa_name(best_isa())), best_isa());
  ::unsetenv("HOTARU_ISA");
}

TEST(ParseIsa, ListsWhatThisMachineHas) {
  EXPECT_THAT(parse_isa("sse9").error().message, HasSubstr("this machine has ref"));
  const Isa foreign = isa_available(Isa::kNeon) ? Isa::kAvx2 : Isa::kNeon;
  const auto refused = parse_isa(isa_name(foreign));
  EXPECT_EQ(refused.error().kind, ErrorKind::kNotSupported);
  EXPECT_THAT(refused.error().message, HasSubstr("is not available here"));
}

}  // namespace
}  // namespace hotaru
