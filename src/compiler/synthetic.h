// A HEF of random weights in a real model's shape: for measuring speed without a checkpoint. Its text is noise, its
// arithmetic is not: codes, scales and ranges are those of a trained model's size, so nothing saturates.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace hotaru {

struct SyntheticOptions {
  int64_t context_tokens = 0;  // 0: as `compile` without --context
  uint64_t seed = 0;
  std::string producer;  // "hotaru 0.1.0"
};

// `config_path`: a config.json. The HEF has no tokenizer and is marked as synthetic.
Result<void> write_synthetic_hef(const std::string& config_path, const SyntheticOptions& options,
                                 const std::string& output);

}  // namespace hotaru
