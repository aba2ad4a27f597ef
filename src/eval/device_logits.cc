#include "eval/device_logits.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace hotaru {
namespace {

struct Positions {
  int begin, end;
};

// Shows the logits of positions [shown.begin, shown.end) of a step that began at position `begin`, as many at a time as
// the device gives.
void show_step(Device& device, int begin, Positions shown, const PositionSink& sink) {
  const int most = device.info().output_rows;
  std::vector<int32_t> rows;
  for (int position = shown.begin; position < shown.end; position += most) {
    rows.resize(static_cast<size_t>(std::min(most, shown.end - position)));
    std::iota(rows.begin(), rows.end(), position - begin);
    device.compute_logits(rows);
    for (size_t i = 0; i < rows.size(); i++) sink(begin + rows[i], device.logits(static_cast<int>(i)));
  }
}

// How many of the ids the HEF knows as its prefix. They are not fed again, nor has it logits behind them; where nothing
// else follows they are text like any other.
size_t prefix_length(const DeviceInfo& info, std::span<const int32_t> ids) {
  const std::vector<int32_t>& prefix = info.prefix;
  const bool begins = ids.size() > prefix.size() && std::equal(prefix.begin(), prefix.end(), ids.begin());
  return begins ? prefix.size() : 0;
}

struct Start {
  size_t played;  // the first position that the context does not hold yet
  size_t shown;   // the first whose logits are wanted
};
Result<void> play(Device& device, int context, std::span<const int32_t> ids, Start start, const PositionSink& sink) {
  const int tokens = static_cast<int>(ids.size());
  TRY(device.reserve(context, 0, tokens));
  std::vector<StepRow> step;
  for (int begin = static_cast<int>(start.played); begin < tokens; begin += device.info().prefill_rows) {
    const int end = std::min(begin + device.info().prefill_rows, tokens);
    step.clear();
    for (int position = begin; position < end; position++) {
      step.push_back({.token = ids[static_cast<size_t>(position)], .position = position, .context = context});
    }
    device.step(step);
    show_step(device, begin, {std::max(begin, static_cast<int>(start.shown)), end}, sink);
  }
  return {};
}

Result<void> check(const DeviceInfo& info, std::span<const int32_t> ids) {
  if (ids.size() > static_cast<size_t>(info.context_tokens)) {
    return invalid("got {} tokens, want at most {}", ids.size(), info.context_tokens);
  }
  for (const int32_t id : ids) {
    if (id < 0 || id >= info.vocabulary) return invalid("got token id {}, want [0, {})", id, info.vocabulary);
  }
  return {};
}

}  // namespace

LogitSource device_logits(std::shared_ptr<Device> device, int adapter) {
  return [batch = device_batch(std::move(device), adapter)](std::span<const int32_t> ids,
                                                            const PositionSink& sink) -> Result<void> {
    const Sequence sequence{{ids.begin(), ids.end()}, 0};
    return batch(std::span(&sequence, 1),
                 [&sink](size_t, int64_t position, std::span<const float> logits) { sink(position, logits); });
  };
}

// All sequences in one context: each goes on where it parts from the one before.
BatchSource device_batch(std::shared_ptr<Device> device, int adapter) {
  return [device = std::move(device), adapter](std::span<const Sequence> sequences,
                                               const SequenceSink& sink) -> Result<void> {
    const DeviceInfo& info = device->info();
    for (const Sequence& sequence : sequences) TRY(check(info, sequence.ids));
    TRY_ASSIGN(const int context, device->create_context());
    device->set_adapter(context, adapter);
    Result<void> played;
    size_t last_prefix = 0;
    for (size_t i = 0; i < sequences.size() && played; i++) {
      const Sequence& sequence = sequences[i];
      const size_t prefix = prefix_length(info, sequence.ids);
      const bool goes_on = i > 0 && prefix == last_prefix;
      const size_t from = goes_on ? std::max(shared_tokens(sequences[i - 1], sequence), prefix) - prefix : 0;
      const size_t first = std::max(static_cast<size_t>(sequence.first), prefix) - prefix;
      device->truncate(context, static_cast<int>(from));
      played = play(*device, context, std::span(sequence.ids).subspan(prefix), {from, first},
                    [&](int64_t position, std::span<const float> logits) {
                      sink(i, position + static_cast<int64_t>(prefix), logits);
                    });
      last_prefix = prefix;
    }
    device->destroy_context(context);
    return played;
  };
}

}  // namespace hotaru
