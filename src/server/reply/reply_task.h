// A reply that some API asks for, in the words of none, and the one place that turns it into work for an engine.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "genai/engine.h"
#include "genai/sampling_choice.h"
#include "server/http/exchange.h"
#include "server/reply/reply_parts.h"
#include "server/store/model_pool.h"
#include "text/grammar.h"

namespace hotaru::server {

// How a chat's tools are to be used.
struct ToolUse {
  bool must_call = false;         // the reply is a call, and nothing else
  std::string only = {};          // of this tool; empty: of any
  bool calls_in_parallel = true;  // there may be several in one reply
};
struct ChatPrompt {
  std::string messages_json;    // as Hugging Face templates know them: role, content, tool_calls (arguments as objects)
  std::string variables_json;   // tools, enable_thinking, documents ...; empty for none
  bool continues_last = false;  // the last message is the beginning of the assistant's reply
  bool has_tools = false;       // the reply may hold calls
  ToolUse tool_use = {};        // with has_tools
};
struct TextPrompt {
  std::string text;  // through no template
};
struct IdsPrompt {
  std::vector<int32_t> ids;
};
using RawPrompt = std::variant<TextPrompt, IdsPrompt>;

struct ReplyTask {
  std::string model;  // as the request writes it: "name", "name:adapter"
  std::string lora;   // Hotaru's own field; empty: as the name says
  std::variant<ChatPrompt, TextPrompt, IdsPrompt> prompt;
  std::vector<int32_t> ids_before;  // in front of the prompt (Ollama's `context`)
  std::string chat_template;        // Jinja, instead of the model's; empty: the model's
  bool cuts_prompt = false;         // at the context's length (for a text that is read); otherwise that is an error
  SamplingChoice sampling;
  int max_tokens = -1;
  WhenFull when_full = WhenFull::kStop;
  int keep_tokens = -1;
  std::vector<std::string> stop;
  int samples = 1;
  int top_logprobs = -1;               // -1: none
  std::optional<GrammarSpec> grammar;  // the reply obeys it
  std::optional<bool> thinks;          // nothing: as the model's template does, but not under a grammar
  bool must_think = false;             // a model that cannot reason is an error (kInvalid)
  std::optional<KeepAlive> keep_alive;
};

// Receives what happens, in order, one call at a time, on no particular thread. A writer turns it into the bytes of its
// API; the same writer serves streams and answers in one piece.
class ReplyWriter {
 public:
  struct Start {
    std::string model;  // of the stored model: "name:latest"
    int prompt_tokens = 0;
    int reused_tokens = 0;  // of them, by the first sample: they were stored already
    std::vector<int32_t> prompt_ids;
    std::chrono::nanoseconds load_time{0};
    const LanguageModel* language_model = nullptr;  // for token texts of logprobs; lives as long as the writer
  };
  // One token of one sample: what it added to the content, the reasoning or the calls; often nothing.
  struct Delta {
    int sample = 0;
    ReplyPiece piece;  // id, logprobs; `text` is the raw one
    ReplyParts::Output output;
  };
  struct End {
    int sample = 0;
    Reply reply;
    ReplyParts::Output output;   // what was held back
    bool has_calls = false;      // finish reason "tool_calls"
    std::optional<Error> error;  // the reply failed after it had begun
  };
  virtual ~ReplyWriter() = default;
  virtual void on_start(const Start& start) = 0;
  // Bytes for a stream; what an answer in one piece returns here is ignored.
  virtual std::string on_delta(const Delta& delta) = 0;
  virtual std::string on_end(const End& end) = 0;
  // After the last sample: the rest of a stream (usage, [DONE]).
  virtual std::string finish() = 0;
  // After finish(), for an answer in one piece.
  virtual HttpResponse response() = 0;
};

struct ReplyDelivery {
  bool streams = false;
  std::string content_type;                          // of a stream: "application/x-ndjson", "text/event-stream"
  std::function<HttpResponse(const Error&)> refuse;  // before anything was sent
};

// Acquires the model, renders and encodes the prompt, submits, and answers the exchange through the writer: what a made
// model says (system message, template, parameters) holds where the task says nothing. Blocks for the load and the
// submission only; the rest happens on one thread that all replies of the process share. The exchange is answered when
// the first token is there, so that whatever fails before it has a status of its own. A client that leaves aborts the
// reply.
void run_reply(ModelPool& pool, ReplyTask task, std::unique_ptr<ReplyWriter> writer, ReplyDelivery delivery,
               const std::shared_ptr<Exchange>& exchange);

}  // namespace hotaru::server
