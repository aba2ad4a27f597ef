// POST /v1/embeddings.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "server/reply/text_readings.h"
#include "server/request/fields.h"

namespace hotaru::server {

struct EmbeddingsRequest {
  ReadingsTask task;
  int dimensions = 0;  // the first so many, brought to length 1 again; 0: all
  bool as_base64 = false;
};

// Errors are in `fields`.
EmbeddingsRequest parse_embeddings_request(Fields& fields);
// kInvalid: the model has fewer dimensions than are wanted.
Result<std::string> embeddings_body(const EmbeddingsRequest& request, const std::vector<ReadText>& texts);
// Little-endian float32, as OpenAI's clients unpack it.
std::string base64_floats(const std::vector<float>& values);

void answer_embeddings(ModelPool& pool, const std::shared_ptr<Exchange>& exchange);

}  // namespace hotaru::server
