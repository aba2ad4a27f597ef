// MODEL of `hotaru eval`: a checkpoint directory (the float reference) or a HEF (the device), as a source of logits
// with its tokenizer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "base/result.h"
#include "cli/command.h"
#include "eval/logit_source.h"
#include "text/tokenizer.h"

namespace hotaru::cli {

struct LogitModel {
  std::string name;
  std::string kind;  // "float" or "hef"
  int64_t vocabulary = 0;
  int64_t max_tokens = 0;  // of one sequence
  LogitSource source;      // holds what it needs
  BatchSource batch;       // the same model, many sequences at once
  std::optional<Tokenizer> tokenizer;
  std::optional<int32_t> bos_id;
  std::string adapter;  // "": none
};

// `lora` is what --lora says: a PEFT directory for a checkpoint, a name for a HEF, NAME=DIR for both; "": none. A HEF
// takes a directory's last component for the name.
Result<LogitModel> open_logit_model(const std::string& path, const std::string& lora, const GlobalOptions& options);

// Its name, or null.
Json adapter_json(const LogitModel& model);

// The tokenizer, or an error that names the model.
Result<const Tokenizer*> tokenizer_of(const LogitModel& model);

}  // namespace hotaru::cli
