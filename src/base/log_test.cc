#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace hotaru {
namespace {

using ::testing::HasSubstr;
using ::testing::internal::CaptureStderr;
using ::testing::internal::GetCapturedStderr;

// Tests run without a terminal: lines, no bar.
TEST(Progress, EndsWithOneLine) {
  CaptureStderr();
  {
    Progress progress("quantise", 28, "layers");
    for (int i = 0; i < 28; i++) progress.advance();
    progress.finish();
    progress.finish();
  }
  const std::string text = GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr("quantise: 28/28 layers in "));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1);
}

TEST(Progress, QuietSaysNothingButWarnings) {
  CaptureStderr();
  set_verbosity(Verbosity::kQuiet);
  {
    Progress progress("quantise", 2, "layers");
    progress.advance(2);
    progress.finish();
    log_info("info");
    log_warning("careful");
  }
  set_verbosity(Verbosity::kNormal);
  EXPECT_EQ(GetCapturedStderr(), "warning: careful\n");
}

}  // namespace
}  // namespace hotaru
