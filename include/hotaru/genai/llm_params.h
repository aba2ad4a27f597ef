// What a caller chooses: a model, and how its replies are written.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hotaru/expected.h"
#include "hotaru/export.h"

namespace hotaru::genai {

// A model and, if wanted, one of its adapters. A value: copies are independent; one thread at a time.
class HOTARU_API LLMParams {
 public:
  explicit LLMParams(std::string hef) : hef_(std::move(hef)) {}
  LLMParams(std::string hef, std::string lora) : hef_(std::move(hef)), lora_(std::move(lora)) {}

  [[nodiscard]] const std::string& hef() const { return hef_; }    // path of the HEF
  [[nodiscard]] const std::string& lora() const { return lora_; }  // name of an adapter in it; "": none
  void set_model(std::string hef, std::string lora = "") {
    hef_ = std::move(hef);
    lora_ = std::move(lora);
  }

 private:
  std::string hef_, lora_;
};

// What happens when the context has no room for the next token.
enum class WhenFull {
  ERROR,  // the reply fails: read() returns OUT_OF_MEMORY; what was written stays in the context
  STOP,   // the reply ends with Status::CONTEXT_FULL
  // The context forgets its oldest tokens, and a prompt that does not fit its oldest messages; what stands in front of
  // the first message of the user (the system prompt) stays. LLMGeneratorCompletion::shifts() and dropped_messages()
  // count.
  SHIFT,
};

// How replies are written. LLM::create_generator_params() gives the model's own defaults; where the model says nothing,
// those below. Every setter refuses a value out of range with INVALID_ARGUMENT and leaves the parameter as it was.
//
// Two families of penalties, never mixed up. repetition_penalty is multiplicative (HailoRT calls it
// frequency_penalty): the logit of a token that was generated is divided by it when positive, multiplied when negative.
// frequency_penalty and presence_penalty are OpenAI's additive ones: subtracted from the logit, the first for every
// time the token was generated, the second once. All of them look at this reply, not at the prompt.
//
// A value: copies are independent. Threads: one thread at a time. Lifetime: independent of the LLM it came from.
class HOTARU_API LLMGeneratorParams {
 public:
  LLMGeneratorParams(const LLMGeneratorParams& other);
  LLMGeneratorParams& operator=(const LLMGeneratorParams& other);
  LLMGeneratorParams(LLMGeneratorParams&& other) noexcept;
  LLMGeneratorParams& operator=(LLMGeneratorParams&& other) noexcept;
  ~LLMGeneratorParams();

  // true (default): tokens are drawn; false: the most likely one is taken, whatever the temperature.
  void set_do_sample(bool do_sample);
  [[nodiscard]] bool do_sample() const;
  // 0 (greedy) or more; default 1.
  Expected<void> set_temperature(float temperature);
  [[nodiscard]] float temperature() const;
  // 0 to 1: draw from the best tokens that make up this probability; default 1 (off).
  Expected<void> set_top_p(float top_p);
  [[nodiscard]] float top_p() const;
  // Draw from this many of the best tokens; default 0 (off).
  Expected<void> set_top_k(uint32_t top_k);
  [[nodiscard]] uint32_t top_k() const;
  // 0 to 1: drop tokens below this share of the best one's probability; default 0 (off).
  Expected<void> set_min_p(float min_p);
  [[nodiscard]] float min_p() const;
  // Above 0; 1 is off; default 1.1 when tokens are drawn, 1 when greedy.
  Expected<void> set_repetition_penalty(float penalty);
  [[nodiscard]] float repetition_penalty() const;
  // Any finite number; default 0 (off).
  Expected<void> set_frequency_penalty(float penalty);
  [[nodiscard]] float frequency_penalty() const;
  Expected<void> set_presence_penalty(float penalty);
  [[nodiscard]] float presence_penalty() const;
  // Added to the logit of a token: a finite number, or -infinity, which forbids the token. 0 takes it back.
  Expected<void> set_logit_bias(int token_id, float bias);

  // Counts special tokens; 0: the prompt is only read. Default: as many as the context holds (nothing).
  Expected<void> set_max_generated_tokens(uint32_t count);
  [[nodiscard]] std::optional<uint32_t> max_generated_tokens() const;
  // The same seed gives the same reply, on every machine. Default: a random one for each reply (nothing).
  void set_seed(uint64_t seed);
  [[nodiscard]] std::optional<uint64_t> seed() const;
  // The reply ends before the first of these texts, wherever its tokens are cut. Default: none; empty ones are ignored.
  void set_stop_strings(std::vector<std::string> stop);
  [[nodiscard]] const std::vector<std::string>& stop_strings() const;
  // Default: STOP.
  void set_when_full(WhenFull policy);
  [[nodiscard]] WhenFull when_full() const;
  // 0 to 20: tokens carry their log-probability and this many of the likeliest others. Default: no log-probabilities
  // (nothing). They are those of the quantised model's own logits, before penalties, bias and temperature.
  Expected<void> set_top_logprobs(std::optional<uint32_t> count);
  [[nodiscard]] std::optional<uint32_t> top_logprobs() const;

  struct HOTARU_HIDDEN Impl;
  explicit LLMGeneratorParams(std::unique_ptr<Impl> impl);
  [[nodiscard]] const Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace hotaru::genai
