// A prompt on its way to a reply, and the reply.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hotaru/expected.h"
#include "hotaru/export.h"

namespace hotaru::genai {

enum class Status {
  GENERATING = 0,             // there is, or may be, more to read
  MAX_TOKENS_REACHED,         // cut by max_generated_tokens
  LOGICAL_END_OF_GENERATION,  // the model ended its turn, or a stop string or stop token came
  ABORTED,                    // cut by abort()
  CONTEXT_FULL,               // no room for the next token, and the policy is STOP
  FAILED,                     // read() said why
};

// One token of a reply.
struct LLMToken {
  struct Candidate {
    int id = 0;
    float logprob = 0;
  };
  int id = 0;
  std::string text;            // valid UTF-8; empty while a character is unfinished, and for special tokens
  float logprob = 0;           // with LLMGeneratorParams::set_top_logprobs
  std::vector<Candidate> top;  // the likeliest ones, best first
};

// A reply that is being written. The device writes it whether it is read or not, until it is far ahead; then it waits
// for the reader: nothing is lost.
//
// When it ends, it becomes part of the LLM's conversation. After a cut (MAX_TOKENS_REACHED, ABORTED) the recovery
// sequence (LLM::set_generation_recovery_sequence) follows it in the context, not counted; after a logical end it does
// not. After FAILED the conversation is as it was before the prompt.
//
// Threads: reading is for one thread at a time; abort() and generation_status() may be called from any thread
// meanwhile. Lifetime: keeps the model alive, the LLM may go. Destroying it aborts the reply.
class HOTARU_API LLMGeneratorCompletion {
 public:
  static constexpr std::chrono::milliseconds DEFAULT_READ_TIMEOUT = std::chrono::seconds(10);
  using Status = genai::Status;

  LLMGeneratorCompletion(LLMGeneratorCompletion&& other) noexcept;
  LLMGeneratorCompletion& operator=(LLMGeneratorCompletion&& other) noexcept;
  ~LLMGeneratorCompletion();

  // The text of the next token that has any: valid UTF-8, final. Empty: the reply has ended. TIMEOUT: for this long
  // neither a token came nor the prompt made progress (a long prompt never times out); try again.
  Expected<std::string> read(std::chrono::milliseconds timeout = DEFAULT_READ_TIMEOUT);
  // The next token; nothing: the reply has ended. Text that was held back until the reply was cut comes with id -1.
  Expected<std::optional<LLMToken>> read_token(std::chrono::milliseconds timeout = DEFAULT_READ_TIMEOUT);
  // All that is left, up to the end. The timeout is that of each token.
  Expected<std::string> read_all(std::chrono::milliseconds timeout = DEFAULT_READ_TIMEOUT);

  // GENERATING until everything was read.
  [[nodiscard]] Status generation_status() const;
  // Ends the reply within one token. What was not read is dropped. Does nothing after the end.
  void abort();

  // So far.
  [[nodiscard]] size_t generated_tokens() const;
  // Of the prompt: those the device had to read; fewer than the prompt has where it knew a beginning already. After the
  // end.
  [[nodiscard]] size_t prefilled_tokens() const;
  // How often a full context forgot its oldest tokens (WhenFull::SHIFT), after the end; and how many of the oldest
  // messages were left out of the prompt, at once.
  [[nodiscard]] size_t shifts() const;
  [[nodiscard]] size_t dropped_messages() const;
  [[nodiscard]] std::optional<uint64_t> seed() const;  // makes this reply again; nothing for a resumed one

  // for (const auto& piece : completion) std::cout << piece.value();
  // Ends with the reply; an error is the last element.
  class Iterator;
  Iterator begin();
  [[nodiscard]] std::default_sentinel_t end() const { return {}; }

  class HOTARU_HIDDEN Impl;
  explicit LLMGeneratorCompletion(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

// Reads as it goes: for one pass.
class LLMGeneratorCompletion::Iterator {
 public:
  using value_type = Expected<std::string>;
  using difference_type = std::ptrdiff_t;
  using iterator_category = std::input_iterator_tag;

  explicit Iterator(LLMGeneratorCompletion& completion) : completion_(&completion), piece_(completion.read()) {}
  [[nodiscard]] const Expected<std::string>& operator*() const { return piece_; }
  [[nodiscard]] const Expected<std::string>* operator->() const { return &piece_; }
  Iterator& operator++() {
    failed_ = !piece_;
    if (!failed_) piece_ = completion_->read();
    return *this;
  }
  void operator++(int) { ++*this; }
  bool operator==(std::default_sentinel_t) const { return failed_ || (piece_ && piece_->empty()); }

 private:
  LLMGeneratorCompletion* completion_;
  Expected<std::string> piece_;
  bool failed_ = false;
};

inline LLMGeneratorCompletion::Iterator LLMGeneratorCompletion::begin() { return Iterator(*this); }

// Collects a prompt. What was written and not generated is dropped with it.
//
// Threads: one thread at a time. Lifetime: keeps the model alive, the LLM may go.
class HOTARU_API LLMGenerator {
 public:
  LLMGenerator(LLMGenerator&& other) noexcept;
  LLMGenerator& operator=(LLMGenerator&& other) noexcept;
  ~LLMGenerator();

  // Text as it stands, without the prompt template: goes on behind what the context holds. Several writes follow each
  // other without anything in between.
  Expected<void> write(const std::string& text);
  // Messages, each a JSON object such as {"role": "user", "content": "Hello"}; they go through the prompt template.
  // `role` must be a string, `content` a string, an array or null; the template sees every other field too. INVALID:
  // the error names the message and the field, and nothing is written.
  Expected<void> write(const std::vector<std::string>& messages);

  // Sends what was written; the generator is empty afterwards and may be used again. BUSY: a reply of this LLM is being
  // written, or the device's queue is full. OUT_OF_MEMORY: the context cannot hold the prompt.
  Expected<LLMGeneratorCompletion> generate();
  // So many replies to what was written, which the device reads once; they may be read at the same time. Reply i is
  // what generate() gives with the seed of reply 0 plus i. Reply 0 becomes part of the conversation; the others do not,
  // nor do they keep it busy. INVALID_ARGUMENT: count is not 1 to 1024. BUSY: as generate(); the queue must have room
  // for all.
  Expected<std::vector<LLMGeneratorCompletion>> generate_samples(size_t count);

  class HOTARU_HIDDEN Impl;
  explicit LLMGenerator(std::unique_ptr<Impl> impl);

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace hotaru::genai
