// POST /v1/responses: what is asked. Nothing is kept between requests.
#pragma once

#include "base/json.h"
#include "server/reply/reply_task.h"
#include "server/request/fields.h"

namespace hotaru::server {

struct ResponsesRequest {
  ReplyTask task;
  bool streams = false;
  Json echoed;  // what the answer repeats of the request: instructions, tools, temperature, ...
};

// Errors are in `fields`.
ResponsesRequest parse_responses_request(Fields& fields);

}  // namespace hotaru::server
