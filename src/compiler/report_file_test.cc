// The report as a table and as a page: complete, well-formed, and safe with any name.
#include "compiler/report_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>

#include "compiler/report_html.h"
#include "compiler/report_text.h"

namespace hotaru {
namespace {

using testing::HasSubstr;
using testing::Not;

OptimiseReport sample() {
  OptimiseReport report;
  report.model = "<b>&\"'toy";
  report.architecture = "ToyForCausalLM";
  report.recipe = "full";
  report.calibration = "64 tokens";
  report.warnings = {"few <tokens>"};
  report.notes = {"layer 1: keys are shifted"};
  report.passes = {{"fold-norms", "equivalent", false, 0.25, "half & half"}, {"rotate", "equivalent", true, 0, ""}};
  report.matrices = {{"embedding.weight", -1, "int8 per row", 53, 96, 40}};
  for (int layer = 0; layer < 3; layer++) {
    for (const char* name : {"q", "down"}) {
      report.matrices.push_back(
          {fmt::format("layers.{}.{}.weight", layer, name), layer, "gptq int4 group 32", 96, 96, 14});
      report.matrices.back().gptq = GptqReport{0.02, 0.01, layer == 2 ? -0.001 : 0.008, 0.01, 0.5, 0};
    }
    report.ranges.push_back({fmt::format("layers.{}.norm1", layer), layer, -3, 1000, -2.5, 40, {}, 25, 8});
  }
  report.ranges.back().bits = 16;
  report.ranges.back().reason = "8 bits give 9.0 dB, want 18";
  report.ranges.push_back({"norm", 3, -1, 1, -1, 1, {}, std::numeric_limits<double>::quiet_NaN(), 8});
  return report;
}

std::vector<std::string> names_in(const OptimiseReport& report) {
  std::vector<std::string> names;
  for (const MatrixReport& matrix : report.matrices) names.push_back(matrix.name);
  for (const RangeReport& range : report.ranges) names.push_back(range.value);
  for (const PassReport& pass : report.passes) names.push_back(pass.name);
  return names;
}

// Empty if every element is closed in its turn, otherwise the place that is wrong.
std::string fault_in(std::string_view html) {
  std::vector<std::string_view> open;
  for (size_t at = html.find('<'); at != std::string_view::npos; at = html.find('<', at + 1)) {
    const size_t end = html.find('>', at);
    if (end == std::string_view::npos) return "a tag without end";
    std::string_view tag = html.substr(at + 1, end - at - 1);
    if (tag.starts_with('!') || tag.ends_with('/')) continue;
    const bool closes = tag.starts_with('/');
    if (closes) tag.remove_prefix(1);
    const std::string_view name = tag.substr(0, tag.find(' '));
    if (!closes) {
      open.push_back(name);
    } else if (open.empty() || open.back() != name) {
      return fmt::format("</{}> at {}", name, at);
    } else {
      open.pop_back();
    }
  }
  return open.empty() ? "" : fmt::format("<{}> is never closed", open.back());
}

TEST(ReportHtml, IsWellFormedAndComplete) {
  const OptimiseReport report = sample();
  const std::string page = to_html(report);
  EXPECT_EQ(fault_in(page), "");
  for (const std::string& name : names_in(report)) EXPECT_THAT(page, HasSubstr(name));
  EXPECT_THAT(page, HasSubstr("layer 1: keys are shifted"));
  EXPECT_THAT(page, HasSubstr("layers.2.norm1: 16 bits; 8 bits give 9.0 dB, want 18"));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme: dark"));
  EXPECT_NE(fault_in(page.substr(0, page.size() - 10)), "");
}

TEST(ReportHtml, NamesAreEscaped) {
  const std::string page = to_html(sample());
  EXPECT_THAT(page, HasSubstr("&lt;b&gt;&amp;&quot;&#39;toy"));
  EXPECT_THAT(page, HasSubstr("few &lt;tokens&gt;"));
  EXPECT_THAT(page, HasSubstr("half &amp; half"));
  EXPECT_THAT(page, Not(HasSubstr("<b>")));
}

TEST(ReportHtml, NeedsNothingElse) {
  const std::string page = to_html(sample());
  for (const char* word : {"http", "src=", "href=", "url(", "<script", "@import"})
    EXPECT_THAT(page, Not(HasSubstr(word)));
}

TEST(ReportHtml, PlotsOnlyFiniteFigures) {
  OptimiseReport report = sample();
  report.matrices[1].gptq->error = std::numeric_limits<double>::quiet_NaN();
  report.ranges[0].high = std::numeric_limits<double>::infinity();
  const std::string page = to_html(report);
  EXPECT_EQ(fault_in(page), "");
  EXPECT_THAT(page, Not(HasSubstr("\"nan\"")));
  EXPECT_THAT(page, Not(HasSubstr("\"inf\"")));
  EXPECT_EQ(fault_in(to_html(OptimiseReport())), "");
}

TEST(ReportText, IsComplete) {
  const OptimiseReport report = sample();
  const std::string text = to_text(report);
  for (const std::string& name : names_in(report)) EXPECT_THAT(text, HasSubstr(name));
  for (const char* part :
       {"\nembedding\n", "\nlayer 2\n", "\nhead\n", "half & half", "8 bits give 9.0 dB", "few <tokens>",
        "  layers.0.q.weight [96, 96]     gptq int4 group 32  0.02000  0.01000  0.00800  0.50     14.0"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(ReportFile, TheSuffixDecides) {
  EXPECT_TRUE(check_report_file("a.html").ok());
  for (const char* path : {"report.pdf", "json", "", "a.json.gz"}) {
    const auto checked = check_report_file(path);
    ASSERT_FALSE(checked.ok()) << path;
    EXPECT_THAT(checked.error().message, HasSubstr("want a name that ends with .json, .txt or .html"));
    EXPECT_FALSE(write_report(sample(), path).ok());
    EXPECT_FALSE(std::filesystem::exists(path));
  }
}

}  // namespace
}  // namespace hotaru
