// Logits of every position from a device: the quantised model as a LogitSource.
#pragma once

#include <memory>

#include "device/device.h"
#include "eval/logit_source.h"

namespace hotaru {

// A context of its own for every sequence. Sequences longer than the device's context are an error. Where a sequence
// begins with the HEF's prefix tokens, logits begin at the first position behind them.
LogitSource device_logits(std::shared_ptr<Device> device, int adapter = kNoAdapter);
BatchSource device_batch(std::shared_ptr<Device> device, int adapter = kNoAdapter);

}  // namespace hotaru
