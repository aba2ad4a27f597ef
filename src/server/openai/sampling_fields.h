// The fields of a request that say how tokens are chosen and when a reply ends: OpenAI's, and Hotaru's beside them.
#pragma once

#include "server/reply/reply_task.h"
#include "server/request/fields.h"

namespace hotaru::server {

// model, temperature, top_p, frequency_penalty, presence_penalty, seed, stop, logit_bias; Hotaru's top_k, min_p,
// repetition_penalty, lora, keep_alive.
void read_sampling(Fields& fields, ReplyTask& task);
// model; Hotaru's lora and keep_alive.
void read_model(Fields& fields, ReplyTask& task);
// Anthropic's and Hotaru's share of them, which OpenAI's responses have too: model, temperature, top_p, top_k, seed,
// min_p, repetition_penalty, lora, keep_alive.
void read_common_sampling(Fields& fields, ReplyTask& task);
// The first of `names` that is there; -1 is no limit.
void read_max_tokens(Fields& fields, std::initializer_list<std::string_view> names, ReplyTask& task);

}  // namespace hotaru::server
