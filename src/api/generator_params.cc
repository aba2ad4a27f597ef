#include <algorithm>
#include <limits>
#include <utility>

#include "api/expected_of.h"
#include "api/generator_params_impl.h"

namespace hotaru::genai {
namespace {

constexpr uint32_t kMostCandidates = 20;

// Sets the member if what results is in range.
template <typename T, typename U>
Expected<void> set(LLMGeneratorParams::Impl& impl, std::optional<T> SamplingChoice::*member, U value) {
  SamplingChoice changed = impl.choice;
  changed.*member = static_cast<T>(value);
  Result<void> checked = check_sampling_params(resolve_sampling(changed, impl.defaults), impl.vocabulary);
  if (checked) impl.choice = std::move(changed);
  return expected_of(std::move(checked));
}

Expected<void> check_count(const char* name, uint32_t value, uint32_t most) {
  if (value <= most) return {};
  return failure_of(invalid("{}: got {}, want at most {}", name, value, most));
}

constexpr uint32_t kMostInt = std::numeric_limits<int32_t>::max();

}  // namespace

SamplingParams LLMGeneratorParams::Impl::sampling() const {
  if (defaults.do_sample) return resolve_sampling(choice, defaults);
  SamplingChoice greedy = choice;
  greedy.temperature = 0.0F;
  return resolve_sampling(greedy, defaults);
}

LLMGeneratorParams::LLMGeneratorParams(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LLMGeneratorParams::LLMGeneratorParams(const LLMGeneratorParams& other) : impl_(std::make_unique<Impl>(*other.impl_)) {}
LLMGeneratorParams& LLMGeneratorParams::operator=(const LLMGeneratorParams& other) {
  if (this != &other) impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}
LLMGeneratorParams::LLMGeneratorParams(LLMGeneratorParams&& other) noexcept = default;
LLMGeneratorParams& LLMGeneratorParams::operator=(LLMGeneratorParams&& other) noexcept = default;
LLMGeneratorParams::~LLMGeneratorParams() = default;

void LLMGeneratorParams::set_do_sample(bool do_sample) { impl_->defaults.do_sample = do_sample; }
bool LLMGeneratorParams::do_sample() const { return impl_->defaults.do_sample; }

Expected<void> LLMGeneratorParams::set_temperature(float temperature) {
  return set(*impl_, &SamplingChoice::temperature, temperature);
}
float LLMGeneratorParams::temperature() const { return impl_->sampling().temperature; }

Expected<void> LLMGeneratorParams::set_top_p(float top_p) { return set(*impl_, &SamplingChoice::top_p, top_p); }
float LLMGeneratorParams::top_p() const { return impl_->sampling().top_p; }

Expected<void> LLMGeneratorParams::set_top_k(uint32_t top_k) {
  Expected<void> fits = check_count("top_k", top_k, kMostInt);
  return fits ? set(*impl_, &SamplingChoice::top_k, top_k) : fits;
}
uint32_t LLMGeneratorParams::top_k() const { return static_cast<uint32_t>(impl_->sampling().top_k); }

Expected<void> LLMGeneratorParams::set_min_p(float min_p) { return set(*impl_, &SamplingChoice::min_p, min_p); }
float LLMGeneratorParams::min_p() const { return impl_->sampling().min_p; }

Expected<void> LLMGeneratorParams::set_repetition_penalty(float penalty) {
  return set(*impl_, &SamplingChoice::repetition_penalty, penalty);
}
float LLMGeneratorParams::repetition_penalty() const { return impl_->sampling().repetition_penalty; }

Expected<void> LLMGeneratorParams::set_frequency_penalty(float penalty) {
  return set(*impl_, &SamplingChoice::frequency_penalty, penalty);
}
float LLMGeneratorParams::frequency_penalty() const { return impl_->sampling().frequency_penalty; }

Expected<void> LLMGeneratorParams::set_presence_penalty(float penalty) {
  return set(*impl_, &SamplingChoice::presence_penalty, penalty);
}
float LLMGeneratorParams::presence_penalty() const { return impl_->sampling().presence_penalty; }

Expected<void> LLMGeneratorParams::set_logit_bias(int token_id, float bias) {
  SamplingParams entry;
  entry.logit_bias = {{token_id, bias}};
  if (Result<void> checked = check_sampling_params(entry, impl_->vocabulary); !checked) {
    return expected_of(std::move(checked));
  }
  std::vector<LogitBias>& biases = impl_->choice.logit_bias;
  std::erase_if(biases, [token_id](const LogitBias& known) { return known.id == token_id; });
  if (bias != 0.0F) biases.push_back({token_id, bias});
  return {};
}

Expected<void> LLMGeneratorParams::set_max_generated_tokens(uint32_t count) {
  Expected<void> fits = check_count("max_generated_tokens", count, kMostInt);
  if (fits) impl_->max_tokens = count;
  return fits;
}
std::optional<uint32_t> LLMGeneratorParams::max_generated_tokens() const { return impl_->max_tokens; }

void LLMGeneratorParams::set_seed(uint64_t seed) { impl_->choice.seed = seed; }
std::optional<uint64_t> LLMGeneratorParams::seed() const { return impl_->choice.seed; }

void LLMGeneratorParams::set_stop_strings(std::vector<std::string> stop) { impl_->stop = std::move(stop); }
const std::vector<std::string>& LLMGeneratorParams::stop_strings() const { return impl_->stop; }

void LLMGeneratorParams::set_when_full(WhenFull policy) { impl_->when_full = policy; }
WhenFull LLMGeneratorParams::when_full() const { return impl_->when_full; }

Expected<void> LLMGeneratorParams::set_top_logprobs(std::optional<uint32_t> count) {
  Expected<void> fits = check_count("top_logprobs", count.value_or(0), kMostCandidates);
  if (fits) impl_->top_logprobs = count;
  return fits;
}
std::optional<uint32_t> LLMGeneratorParams::top_logprobs() const { return impl_->top_logprobs; }

}  // namespace hotaru::genai
