#include "eval/bench.h"

#include <gtest/gtest.h>

#include "genai/fake_device.h"

namespace hotaru {
namespace {

// Of a machine that others use too: what it can do differs from one moment to the next.
class SharedDevice : public FakeDevice {
 public:
  explicit SharedDevice(std::vector<double> speeds) : speeds_(std::move(speeds)) {}
  MachineLimits measure_limits() override { return {speeds_.at(measured_++), 7}; }
  [[nodiscard]] size_t measured() const { return measured_; }

 private:
  std::vector<double> speeds_;
  size_t measured_ = 0;
};

TEST(Bench, ComparesEachPhaseWithTheLimitsAroundIt) {
  SharedDevice device({1, 5, 2, 9, 8, 3});
  const BenchOptions options{.prompts = {8}, .depths = {4}, .contexts = {}, .repeat = 2, .decode_steps = 3};
  const auto report = run_bench(device, options, [](int, int) {});
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(device.measured(), 6U);
  ASSERT_EQ(report->phases.size(), 2U);
  EXPECT_EQ(report->phases[0].limits.read_bytes_per_second, 2);
  EXPECT_EQ(report->phases[1].limits.read_bytes_per_second, 8);
  EXPECT_EQ(report->phases[1].limits.multiply_adds_per_second, 7);
  EXPECT_EQ(report->limits.read_bytes_per_second, 5);
}

TEST(Bench, LengthsThatDoNotFitAreLeftOut) {
  SharedDevice device({1, 1});
  const int context = device.info().context_tokens;
  const BenchOptions options{
      .prompts = {context, context + 1}, .depths = {context - 2}, .contexts = {}, .repeat = 1, .decode_steps = 3};
  const auto report = run_bench(device, options, [](int, int) {});
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_EQ(report->phases.size(), 1U);
  EXPECT_EQ(report->phases[0].tokens, context);
  EXPECT_TRUE(report->decode_ms.empty());
}

}  // namespace
}  // namespace hotaru
