// What every measure here works on: something that gives logits for tokens. A float checkpoint and a HEF are both one;
// the command line makes them (cli/logit_models.h), because this folder sees neither compiler nor model.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "base/result.h"

namespace hotaru {

// Sees the logits [V] after position 0, 1, ... of one sequence, in order; later ones only from a HEF whose prefix the
// sequence begins with.
using PositionSink = std::function<void(int64_t position, std::span<const float> logits)>;
// Plays one fresh sequence.
using LogitSource = std::function<Result<void>(std::span<const int32_t> ids, const PositionSink& sink)>;

}  // namespace hotaru
