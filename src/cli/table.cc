#include "cli/table.h"

#include <fmt/format.h>

#include <algorithm>

namespace hotaru::cli {

std::string Table::text() const {
  std::vector<size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); i++) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows_) {
    std::string line;
    for (size_t i = 0; i < row.size(); i++) line += fmt::format("{:<{}}", row[i], widths[i] + 4);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string time_span(std::chrono::system_clock::duration span) {
  struct Unit {
    const char* name;
    int64_t seconds;
  };
  constexpr Unit kUnits[] = {{"year", 365 * 86400}, {"month", 30 * 86400}, {"week", 7 * 86400},
                             {"day", 86400},        {"hour", 3600},        {"minute", 60}};
  const int64_t seconds = std::max<int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(span).count());
  for (const Unit& unit : kUnits) {
    const int64_t count = seconds / unit.seconds;
    if (count > 0) return fmt::format("{} {}{}", count, unit.name, count == 1 ? "" : "s");
  }
  return fmt::format("{} second{}", seconds, seconds == 1 ? "" : "s");
}

std::string time_ago(std::chrono::system_clock::duration age) {
  return age < std::chrono::seconds(2) ? "just now" : time_span(age) + " ago";
}

}  // namespace hotaru::cli
