#include "text/stop_strings.h"

#include <algorithm>
#include <utility>

namespace hotaru {
namespace {

// Length of the longest end of `text` that is a beginning of `stop`, not all of it.
size_t overlap(std::string_view text, std::string_view stop) {
  for (size_t length = std::min(text.size(), stop.size() - 1); length > 0; --length) {
    if (text.ends_with(stop.substr(0, length))) return length;
  }
  return 0;
}

}  // namespace

StopStrings::StopStrings(std::vector<std::string> stops) : stops_(std::move(stops)) {
  std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string StopStrings::push(std::string_view piece) {
  if (stopped()) return {};
  held_ += piece;
  size_t match_begin = std::string::npos;
  size_t match_end = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t begin = held_.find(stop);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stop.size();
    if (end < match_end || (end == match_end && begin < match_begin)) {
      match_begin = begin;
      match_end = end;
    }
  }
  if (match_end != std::string::npos) {
    matched_ = held_.substr(match_begin, match_end - match_begin);
    held_.resize(match_begin);
    return std::exchange(held_, {});
  }
  size_t kept = 0;
  for (const std::string& stop : stops_) kept = std::max(kept, overlap(held_, stop));
  std::string out = held_.substr(0, held_.size() - kept);
  held_.erase(0, out.size());
  return out;
}

std::string StopStrings::finish() { return std::exchange(held_, {}); }

}  // namespace hotaru
