// NAME.json: a model that was made of another one.
//   {"hotaru_model": 1, "hef": "sha256:HEX", "adapter": "...", "parent": "...", "system": "...", "template": "...",
//    "license": "...", "parameters": {...}}
// All but the first two may be absent.
#pragma once

#include <string>

#include "server/store/model_store.h"

namespace hotaru::server {

std::string made_model_text(const StoredModel& model);
// Digest, adapter, parent, system, chat_template, license, parameters.
Result<StoredModel> read_made_model(const std::string& path);

}  // namespace hotaru::server
