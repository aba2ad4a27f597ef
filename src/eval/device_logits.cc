#include "eval/device_logits.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace hotaru {
namespace {

// Shows the logits of the step's `count` rows, as many at a time as the device gives.
void show_step(Device& device, int first, int count, const PositionSink& sink) {
  const int most = device.info().output_rows;
  std::vector<int32_t> rows;
  for (int begin = 0; begin < count; begin += most) {
    rows.resize(static_cast<size_t>(std::min(most, count - begin)));
    std::iota(rows.begin(), rows.end(), begin);
    device.compute_logits(rows);
    for (size_t i = 0; i < rows.size(); i++) sink(first + rows[i], device.logits(static_cast<int>(i)));
  }
}

// How many of the ids the HEF knows as its prefix. They are not fed again, nor has it logits behind them; where nothing
// else follows they are text like any other.
size_t prefix_length(const DeviceInfo& info, std::span<const int32_t> ids) {
  const std::vector<int32_t>& prefix = info.prefix;
  const bool begins = ids.size() > prefix.size() && std::equal(prefix.begin(), prefix.end(), ids.begin());
  return begins ? prefix.size() : 0;
}

Result<void> play(Device& device, int context, std::span<const int32_t> ids, const PositionSink& sink) {
  const int tokens = static_cast<int>(ids.size());
  TRY(device.reserve(context, 0, tokens));
  std::vector<StepRow> step;
  for (int first = 0; first < tokens; first += device.info().prefill_rows) {
    const int count = std::min(device.info().prefill_rows, tokens - first);
    step.clear();
    for (int position = first; position < first + count; position++) {
      step.push_back({.token = ids[static_cast<size_t>(position)], .position = position, .context = context});
    }
    device.step(step);
    show_step(device, first, count, sink);
  }
  return {};
}

}  // namespace

LogitSource device_logits(std::shared_ptr<Device> device, int adapter) {
  return [device = std::move(device), adapter](std::span<const int32_t> ids, const PositionSink& sink) -> Result<void> {
    const DeviceInfo& info = device->info();
    if (ids.size() > static_cast<size_t>(info.context_tokens)) {
      return invalid("got {} tokens, want at most {}", ids.size(), info.context_tokens);
    }
    for (const int32_t id : ids) {
      if (id < 0 || id >= info.vocabulary) return invalid("got token id {}, want [0, {})", id, info.vocabulary);
    }
    TRY_ASSIGN(const int context, device->create_context());
    device->set_adapter(context, adapter);
    const size_t prefix = prefix_length(info, ids);
    const Result<void> played =
        play(*device, context, ids.subspan(prefix), [&](int64_t position, std::span<const float> logits) {
          sink(position + static_cast<int64_t>(prefix), logits);
        });
    device->destroy_context(context);
    return played;
  };
}

}  // namespace hotaru
