// Puts many replies into the device's steps. No threads, no clock: the same calls give the same steps.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "base/result.h"
#include "device/device.h"
#include "genai/generation.h"

namespace hotaru {

// Longer steps are a few per cent faster a token, and a decoding reply waits for each.
inline constexpr int kRowsBesideReplies = 128;

struct SchedulerOptions {
  int decoding = 0;  // decoding replies in one step at most; 0: as many as the device takes
  // Rows of prompts in one step at most; 0: as many as the device takes, but kRowsBesideReplies while a reply decodes.
  int prefill_chunk = 0;
  // Gives back pages that nobody needs (prefixes kept for reuse); false: there are none. May be empty.
  std::function<bool()> free_some_pages;
};

// One step holds a row of every decoding reply first, then up to `prefill_chunk` rows of prompts, shared among them so
// that a short one is not behind a long one: a decoding reply never waits for more than one chunk.
//
// Without a free page, or a free place for a context, kept prefixes go first, then what paused replies have stored.
// Then the reply that came last gives up what it has stored and computes it again later: those who came earlier go on,
// and nobody's tokens change. Only a reply with nobody behind it is told that the context is full.
//
// For the device's thread. Steps allocate nothing; only sampled tokens may (text, the reply's growth), and what readers
// collect.
class Scheduler {
 public:
  // The device must outlive the scheduler; a generation, its stay in it.
  Scheduler(Device& device, SchedulerOptions options);

  void add(Generation& generation);
  void remove(const Generation& generation);
  // What a paused reply holds in the device is anybody's who wants it: it computes that again when its reader goes on.
  // False: none holds anything.
  bool take_from_paused();
  // Plays one step. False: nobody had a row, since all have ended or are paused, or since they wait for the pages of
  // one that has just ended. Ended generations stay until removed, and so do their pages.
  bool step();

  // Of the last step.
  [[nodiscard]] int decode_rows() const { return decode_rows_; }
  [[nodiscard]] int prompt_rows() const { return prompt_rows_; }
  // Since the start: how often a reply gave up its pages for another one.
  [[nodiscard]] uint64_t given_up() const { return given_up_; }

 private:
  struct Part {
    Generation* generation;
    int rows;
  };
  bool plan();  // true: a generation has ended
  void add_decoding();
  void add_prompts();
  void find_prompts();
  bool add_part(Generation& generation, int rows);
  bool free_something();
  [[nodiscard]] bool has_free_pages(int pages);
  [[nodiscard]] bool take_pages(Generation& generation, int rows);
  [[nodiscard]] Generation* last_behind(const Generation& generation);
  [[nodiscard]] bool has_part(const Generation& generation) const;
  void mark_stalled(Generation& generation, Error no_memory);
  void play();
  void note_readers(const Part& part, int first_row, int first_position);
  void sample();
  void show_hidden();

  Device* device_;
  SchedulerOptions options_;
  std::vector<Generation*> generations_;  // in order of arrival
  std::vector<Generation*> waiting_;      // prompts, or decoding replies, while a step is planned
  std::vector<Part> parts_;               // of the step
  std::vector<StepRow> rows_;
  // Who gets the logits of a row: the generation, or its reader, which is told the position.
  struct LogitReader {
    Generation* generation;
    TextReader* reader;
    int position;
  };
  std::vector<int32_t> logit_rows_;         // of compute_logits
  std::vector<LogitReader> logit_readers_;  // beside each
  std::vector<int32_t> hidden_rows_;        // of compute_hidden
  std::vector<TextReader*> hidden_readers_;
  Generation* stalled_ = nullptr;   // the earliest that had no page in this step
  std::optional<Error> no_memory_;  // and why
  uint64_t steps_ = 0, given_up_ = 0;
  int decode_rows_ = 0, prompt_rows_ = 0;
};

}  // namespace hotaru
