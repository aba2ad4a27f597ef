#include "compiler/gptq_round.h"

#include "compiler/int4_lanes.h"
#include "kernels/packed.h"

namespace hotaru {
namespace {

constexpr size_t kLanes = kMaxMultiplier + 1;  // one for every multiplier, 0 too
constexpr size_t kParts = kLanes / 4;

struct Lanes {
  Floats part[kParts];
};
float lane(const Lanes& lanes, size_t index) { return lanes.part[index / 4][index % 4]; }

}  // namespace

GroupFactor take_group(const float* unit, size_t stride, const float* pivot, size_t width) {
  GroupFactor factor{width, std::vector<float>(width * width), std::vector<float>(pivot, pivot + width)};
  for (size_t i = 0; i < width; i++) {
    for (size_t j = i + 1; j < width; j++) factor.feedback[j * width + i] = unit[i * stride + j];
  }
  return factor;
}

GroupChoice round_group(const GroupFactor& factor, const GroupTarget& target, float* codes, float* errors) {
  Lanes step;
  Lanes inverse;
  for (size_t m = 0; m < kLanes; m++) {
    const float value = target.scale * static_cast<float>(m);
    step.part[m / 4][m % 4] = value;
    inverse.part[m / 4][m % 4] = value == 0 ? 0 : 1.0F / value;
  }
  Lanes error[kMostGroup];
  Lanes code[kMostGroup];
  Lanes loss = {};
  for (size_t j = 0; j < factor.width; j++) {
    const float* feedback = &factor.feedback[j * factor.width];
    const Floats start = Floats{} + (target.weights[j] + target.drift[j]);
    Floats t0 = start;
    Floats t1 = start;
    Floats t2 = start;
    Floats t3 = start;
    for (size_t i = 0; i < j; i++) {
      t0 += error[i].part[0] * feedback[i];
      t1 += error[i].part[1] * feedback[i];
      t2 += error[i].part[2] * feedback[i];
      t3 += error[i].part[3] * feedback[i];
    }
    const Lanes t = {{t0, t1, t2, t3}};
    for (size_t p = 0; p < kParts; p++) {
      const Floats nearest = nearest_code(t.part[p] * inverse.part[p]);
      const Floats rounded = nearest * step.part[p];
      const Floats miss = t.part[p] - rounded;
      loss.part[p] += miss * miss * factor.pivot[j];
      code[j].part[p] = nearest;
      error[j].part[p] = target.weights[j] - rounded;
    }
  }
  size_t best = 0;
  for (size_t m = 1; m < kLanes; m++) best = lane(loss, m) < lane(loss, best) ? m : best;
  for (size_t j = 0; j < factor.width; j++) {
    codes[j] = lane(code[j], best);
    errors[j] = lane(error[j], best);
  }
  return {static_cast<uint8_t>(best), lane(loss, best)};
}

}  // namespace hotaru
