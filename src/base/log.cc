#include "base/log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <mutex>

namespace hotaru {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kRedrawEvery = std::chrono::milliseconds(100);
constexpr auto kLineEvery = std::chrono::seconds(5);
constexpr int kBarWidth = 24;

std::atomic<Verbosity> verbosity_now{Verbosity::kNormal};
std::mutex stderr_mutex;
bool bar_on_screen = false;  // guarded by stderr_mutex: the cursor stands behind a bar that the next line must wipe

bool is_quiet() { return verbosity_now.load() == Verbosity::kQuiet; }

bool stderr_is_terminal() {
  static const bool is_terminal = ::isatty(STDERR_FILENO) == 1;
  return is_terminal;
}

void print_line(std::string_view text) {
  const std::lock_guard lock(stderr_mutex);
  const std::string line = fmt::format("{}{}\n", bar_on_screen ? "\r\033[K" : "", text);
  bar_on_screen = false;
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void print_bar(std::string_view text) {
  const std::lock_guard lock(stderr_mutex);
  const std::string line = fmt::format("\r{}\033[K", text);
  bar_on_screen = true;
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
}

std::string time_text(double seconds) {
  if (seconds < 10.0) return fmt::format("{:.1f} s", seconds);
  if (seconds < 100.0) return fmt::format("{:.0f} s", seconds);
  const auto whole = static_cast<long long>(std::min(seconds, 1e9));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

}  // namespace

void set_verbosity(Verbosity verbosity) { verbosity_now.store(verbosity); }

bool stderr_has_color() {
  const char* no_color = std::getenv("NO_COLOR");
  return stderr_is_terminal() && (no_color == nullptr || *no_color == '\0');
}

void log_info(std::string_view message) {
  if (!is_quiet()) print_line(message);
}

// Warnings are not progress: --quiet keeps them.
void log_warning(std::string_view message) {
  const bool color = stderr_has_color();
  print_line(fmt::format("{}warning:{} {}", color ? "\033[33m" : "", color ? "\033[0m" : "", message));
}

Progress::Progress(std::string_view label, uint64_t total, std::string_view unit)
    : label_(label), unit_(unit), total_(total), start_(Clock::now()), last_drawn_(start_) {
  if (stderr_is_terminal()) draw(false);
}

// Work that stops half-way (an error is on its way up) leaves no half-drawn line behind.
Progress::~Progress() {
  const std::lock_guard lock(stderr_mutex);
  if (finished_ || !bar_on_screen) return;
  bar_on_screen = false;
  std::fputc('\n', stderr);
}

void Progress::advance(uint64_t count) {
  done_ += count;
  const auto since = Clock::now() - last_drawn_;
  if (since < kRedrawEvery || (!stderr_is_terminal() && since < kLineEvery)) return;
  draw(false);
}

void Progress::set_detail(std::string_view detail) {
  detail_ = detail;
  if (stderr_is_terminal() && Clock::now() - last_drawn_ >= kRedrawEvery) draw(false);
}

void Progress::finish() {
  if (finished_) return;
  draw(true);
  finished_ = true;
}

void Progress::draw(bool final_line) {
  if (is_quiet() || finished_) return;
  last_drawn_ = Clock::now();
  const double seconds = std::chrono::duration<double>(last_drawn_ - start_).count();
  const double rate = seconds > 0.0 ? static_cast<double>(done_) / seconds : 0.0;
  const bool has_total = total_ > 0;
  std::string text = label_ + ": ";
  if (stderr_is_terminal() && has_total && !final_line) {
    const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
    const int full = static_cast<int>(share * kBarWidth);
    text += fmt::format("[{:=<{}}{: <{}}] ", "", full, "", kBarWidth - full);
  }
  text += has_total ? fmt::format("{}/{} {}", done_, total_, unit_) : fmt::format("{} {}", done_, unit_);
  if (final_line) {
    print_line(fmt::format("{} in {} ({:.1f} {}/s)", text, time_text(seconds), rate, unit_));
    return;
  }
  text += fmt::format(", {:.1f}/s", rate);
  if (has_total && done_ > 0 && done_ <= total_) {
    text += fmt::format(", {} left", time_text(static_cast<double>(total_ - done_) / rate));
  }
  if (!detail_.empty()) text += "  " + detail_;
  if (stderr_is_terminal()) {
    print_bar(text);
  } else {
    print_line(text);
  }
}

}  // namespace hotaru
