#include "genai/grammar_mask.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace hotaru {
namespace {

class GrammarMask final : public TokenMask {
 public:
  explicit GrammarMask(const Grammar& grammar)
      : grammar_(grammar), words_((static_cast<size_t>(grammar.vocabulary()) + 63) / 64), thread_([this] { run(); }) {}
  GrammarMask(const GrammarMask&) = delete;
  GrammarMask& operator=(const GrammarMask&) = delete;
  ~GrammarMask() override {
    {
      const std::lock_guard lock(mutex_);
      is_leaving_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void begin(std::span<const int32_t> generated) override {
    {
      const std::lock_guard lock(mutex_);
      new_ids_.assign(generated.begin() + static_cast<ptrdiff_t>(known_ids_), generated.end());
      known_ids_ = generated.size();
      work_ = Work::kWanted;
    }
    changed_.notify_all();
  }

  Result<std::span<const uint64_t>> allowed() override {
    std::unique_lock lock(mutex_);
    // On a busy machine the thread may not have had a processor yet: what it would do takes less time than to wait.
    if (work_ == Work::kWanted) compute(lock);
    changed_.wait(lock, [this] { return work_ == Work::kDone; });
    if (error_) return *error_;
    return std::span<const uint64_t>(words_);
  }

 private:
  enum class Work { kDone, kWanted, kTaken };

  void run() {
    std::unique_lock lock(mutex_);
    while (true) {
      changed_.wait(lock, [this] { return work_ == Work::kWanted || is_leaving_; });
      if (is_leaving_) return;
      compute(lock);
    }
  }

  // Who has taken the work has state_, new_ids_ and words_ to himself without the lock.
  void compute(std::unique_lock<std::mutex>& lock) {
    work_ = Work::kTaken;
    lock.unlock();
    Result<void> computed = error_ ? Result<void>(*error_) : compute_words();
    lock.lock();
    if (!computed) error_ = std::move(computed).error();
    work_ = Work::kDone;
    changed_.notify_all();
  }

  Result<void> compute_words() {
    if (!state_) {  // here, for a large grammar's takes milliseconds, and the prompt is being computed
      TRY_ASSIGN(state_, GrammarState::begin(grammar_));
    }
    TRY(state_->advance(new_ids_));
    return state_->allowed(words_);
  }

  const Grammar grammar_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<GrammarState> state_;
  std::vector<int32_t> new_ids_;  // since the last begin()
  size_t known_ids_ = 0;
  std::vector<uint64_t> words_;  // [(V + 63) / 64]
  std::optional<Error> error_;
  Work work_ = Work::kDone;
  bool is_leaving_ = false;
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace

std::unique_ptr<TokenMask> make_grammar_mask(const Grammar& grammar) { return std::make_unique<GrammarMask>(grammar); }

Result<void> obey_grammar(GenerationOptions& options, const GrammarSpec& spec, const LanguageModel& model) {
  if (!model.has_tokenizer()) {
    return not_supported("'{}' has no tokenizer: its replies can obey no grammar", model.name());
  }
  TRY_ASSIGN(const Grammar grammar,
             Grammar::compile(*model.tokenizer(), options.stop_ids, model.device().info().vocabulary, spec));
  options.grammar = spec;
  options.make_token_mask = [grammar] { return make_grammar_mask(grammar); };
  return {};
}

}  // namespace hotaru
