// Everything that is not a result goes to stderr: warnings, progress. Results go to stdout by the command itself.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace hotaru {

enum class Verbosity { kQuiet, kNormal };
void set_verbosity(Verbosity verbosity);
// True when stderr is a terminal and NO_COLOR is unset.
bool stderr_has_color();
void log_info(std::string_view message);
void log_warning(std::string_view message);

// A progress bar with rate and time left on a terminal; one line every few seconds otherwise; nothing with --quiet.
class Progress {
 public:
  // `unit` is what is counted ("layers", "tokens").
  Progress(std::string_view label, uint64_t total, std::string_view unit);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void advance(uint64_t count = 1);
  void set_detail(std::string_view detail);  // shown after the bar: "layer 3: down_proj"
  void finish();

 private:
  void draw(bool final_line);
  std::string label_, unit_, detail_;
  uint64_t total_, done_ = 0;
  std::chrono::steady_clock::time_point start_, last_drawn_;
  bool finished_ = false;
};

}  // namespace hotaru
