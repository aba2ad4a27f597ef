#include "genai/scheduler.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "genai/text_reader.h"

namespace hotaru {
namespace {

int or_most(int wanted, int most) { return wanted > 0 ? std::min(wanted, most) : most; }

}  // namespace

Scheduler::Scheduler(Device& device, SchedulerOptions options) : device_(&device), options_(std::move(options)) {
  const auto rows = static_cast<size_t>(device.info().prefill_rows);
  parts_.reserve(rows);
  rows_.reserve(rows);
  logit_rows_.reserve(rows);
  logit_readers_.reserve(rows);
  hidden_rows_.reserve(rows);
  hidden_readers_.reserve(rows);
}

void Scheduler::add(Generation& generation) {
  generations_.push_back(&generation);
  waiting_.reserve(generations_.capacity());
}

void Scheduler::remove(const Generation& generation) { std::erase(generations_, &generation); }

bool Scheduler::step() {
  bool has_ended = plan();
  // Nobody else can go on, so no page will become free either, unless one has just ended.
  while (parts_.empty() && stalled_ != nullptr && !has_ended) {
    Generation& full = *stalled_;
    full.give_way(*no_memory_);
    has_ended = full.has_ended() || plan();
  }
  if (parts_.empty()) return false;
  play();
  show_hidden();
  sample();  // last: what a reply that ends does with its context is its own affair
  steps_++;
  return true;
}

bool Scheduler::plan() {
  parts_.clear();
  stalled_ = nullptr;
  decode_rows_ = prompt_rows_ = 0;
  bool has_ended = false;
  for (Generation* generation : generations_) {
    if (!generation->has_ended() && !generation->prepare()) has_ended = true;
  }
  add_decoding();
  add_prompts();
  // Neighbours with the same adapter go through it together.
  std::sort(parts_.begin(), parts_.end(), [](const Part& a, const Part& b) {
    return a.generation->context().adapter() < b.generation->context().adapter();
  });
  return has_ended;
}

void Scheduler::add_decoding() {
  waiting_.clear();
  for (Generation* generation : generations_) {
    const bool wants = !generation->has_ended() && !generation->is_paused();
    if (wants && generation->context().pending_tokens() == 1) waiting_.push_back(generation);
  }
  const auto most = static_cast<size_t>(or_most(options_.decoding, device_->info().prefill_rows));
  if (waiting_.size() > most) {
    // They take turns.
    std::rotate(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(steps_ * most % waiting_.size()),
                waiting_.end());
    waiting_.resize(most);
  }
  for (Generation* generation : waiting_) {
    const bool gave_up = generation->context().pending_tokens() > 1;  // for an earlier one, just now
    if (!gave_up && add_part(*generation, 1)) decode_rows_++;
  }
}

// The prompts that may have rows, in order of arrival. One begins, or begins again after it gave up its pages, when
// there are pages for all of it: else it would take pages that it must give up soon. Whoever comes later begins later.
void Scheduler::find_prompts() {
  waiting_.clear();
  int promised_pages = 0;
  bool is_queueing = false;
  for (Generation* generation : generations_) {
    const Context& context = generation->context();
    const bool wants = !generation->has_ended() && !generation->is_paused();
    if (!wants || context.pending_tokens() <= 1) continue;
    const int page_tokens = device_->info().page_tokens;
    const int pages = (context.pending_tokens() + page_tokens - 1) / page_tokens;
    if (context.stored_tokens() == 0) {
      is_queueing = is_queueing || !has_free_pages(promised_pages + pages);
      const bool is_alone = parts_.empty() && waiting_.empty();
      if (is_queueing && !is_alone) continue;
    }
    waiting_.push_back(generation);
    promised_pages += pages;
  }
}

void Scheduler::add_prompts() {
  find_prompts();
  const int most = device_->info().prefill_rows;
  const int usual = decode_rows_ > 0 ? kRowsBesideReplies : most;
  int left = std::min(options_.prefill_chunk > 0 ? options_.prefill_chunk : usual, most - decode_rows_);
  if (std::cmp_greater(waiting_.size(), left)) {
    std::rotate(waiting_.begin(),
                waiting_.begin() + static_cast<ptrdiff_t>(steps_ * static_cast<uint64_t>(left) % waiting_.size()),
                waiting_.end());
    waiting_.resize(static_cast<size_t>(left));
  }
  // The shortest first: what it does not need of its equal share goes to the longer ones.
  std::sort(waiting_.begin(), waiting_.end(), [](const Generation* a, const Generation* b) {
    return a->context().pending_tokens() < b->context().pending_tokens();
  });
  for (size_t i = 0; i < waiting_.size(); i++) {
    Generation& generation = *waiting_[i];
    const auto sharers = static_cast<int>(waiting_.size() - i);
    const int share = or_most(generation.options().prefill_chunk, (left + sharers - 1) / sharers);
    const int rows = std::min(share, generation.context().pending_tokens());
    if (add_part(generation, rows)) {
      left -= rows;
      prompt_rows_ += rows;
    }
  }
}

bool Scheduler::add_part(Generation& generation, int rows) {
  if (rows == 0 || !take_pages(generation, rows)) return false;
  parts_.push_back({&generation, rows});
  return true;
}

bool Scheduler::take_from_paused() {
  for (Generation* generation : generations_) {
    if (!generation->is_paused() || generation->has_ended() || !generation->context().has_place()) continue;
    generation->context().leave_device();
    given_up_++;
    return true;
  }
  return false;
}

// Of what nobody needs who plays.
bool Scheduler::free_something() {
  return (options_.free_some_pages && options_.free_some_pages()) || take_from_paused();
}

bool Scheduler::has_free_pages(int pages) {
  while (device_->free_pages() < pages) {
    if (!free_something()) return false;
  }
  return true;
}

bool Scheduler::has_part(const Generation& generation) const {
  return std::any_of(parts_.begin(), parts_.end(), [&](const Part& part) { return part.generation == &generation; });
}

// Whose pages and place `generation` may have: those of the one that came last, if after it.
Generation* Scheduler::last_behind(const Generation& generation) {
  const auto may_give = [&](const Generation* other) {
    return !other->has_ended() && other->context().has_place() && !has_part(*other);
  };
  for (auto other = generations_.rbegin(); other != generations_.rend() && *other != &generation; ++other) {
    if (may_give(*other)) return *other;
  }
  return nullptr;
}

bool Scheduler::take_pages(Generation& generation, int rows) {
  while (true) {
    Result<void> reserved = generation.context().reserve(rows);
    if (reserved) return true;
    if (free_something()) continue;
    Generation* last = last_behind(generation);
    if (last == nullptr) {
      mark_stalled(generation, std::move(reserved).error());
      return false;
    }
    last->context().leave_device();
    given_up_++;
  }
}

void Scheduler::mark_stalled(Generation& generation, Error no_memory) {
  const auto came_first = [&] {
    return *std::find_if(generations_.begin(), generations_.end(),
                         [&](const Generation* other) { return other == stalled_ || other == &generation; });
  };
  if (stalled_ != nullptr && came_first() == stalled_) return;
  stalled_ = &generation;
  no_memory_ = std::move(no_memory);
}

void Scheduler::play() {
  rows_.clear();
  for (const Part& part : parts_) part.generation->context().add_rows(part.rows, rows_);
  device_->step(rows_);
  logit_rows_.clear();
  logit_readers_.clear();
  hidden_rows_.clear();
  hidden_readers_.clear();
  int32_t row = 0;
  for (const Part& part : parts_) {
    Context& context = part.generation->context();
    note_readers(part, row, context.stored_tokens());
    context.mark_stored(part.rows);
    row += part.rows;
    if (!part.generation->finish_step()) continue;
    logit_rows_.push_back(row - 1);
    logit_readers_.push_back({part.generation, nullptr, 0});
  }
}

void Scheduler::note_readers(const Part& part, int first_row, int first_position) {
  TextReader* reader = part.generation->reader();
  if (reader == nullptr) return;
  for (int i = 0; i < part.rows; i++) {
    if (reader->wants_logits(first_position + i)) {
      logit_rows_.push_back(first_row + i);
      logit_readers_.push_back({part.generation, reader, first_position + i});
    }
    if (reader->wants_hidden(first_position + i)) {
      hidden_rows_.push_back(first_row + i);
      hidden_readers_.push_back(reader);
    }
  }
}

void Scheduler::sample() {
  const auto most = static_cast<size_t>(device_->info().output_rows);
  for (size_t first = 0; first < logit_rows_.size(); first += most) {
    const size_t count = std::min(most, logit_rows_.size() - first);
    device_->compute_logits(std::span(logit_rows_).subspan(first, count));
    for (size_t i = 0; i < count; i++) {
      const LogitReader& who = logit_readers_[first + i];
      const std::span<const float> logits = device_->logits(static_cast<int>(i));
      if (who.reader != nullptr) {
        who.reader->accept_logits(who.position, logits);
      } else {
        who.generation->accept(logits);
      }
    }
  }
}

void Scheduler::show_hidden() {
  const auto most = static_cast<size_t>(device_->info().output_rows);
  for (size_t first = 0; first < hidden_rows_.size(); first += most) {
    const size_t count = std::min(most, hidden_rows_.size() - first);
    device_->compute_hidden(std::span(hidden_rows_).subspan(first, count));
    for (size_t i = 0; i < count; i++) hidden_readers_[first + i]->accept_hidden(device_->hidden(static_cast<int>(i)));
  }
}

}  // namespace hotaru
