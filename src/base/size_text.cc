#include "base/size_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>

namespace hotaru {
namespace {

struct Unit {
  std::string_view name;  // lower case
  double factor;
};

constexpr double kKibi = 1024.0;
constexpr std::array<Unit, 14> kSizeUnits = {{{"", 1.0},
                                              {"b", 1.0},
                                              {"k", kKibi},
                                              {"kb", 1e3},
                                              {"kib", kKibi},
                                              {"m", kKibi* kKibi},
                                              {"mb", 1e6},
                                              {"mib", kKibi* kKibi},
                                              {"g", kKibi* kKibi* kKibi},
                                              {"gb", 1e9},
                                              {"gib", kKibi* kKibi* kKibi},
                                              {"t", kKibi* kKibi* kKibi* kKibi},
                                              {"tb", 1e12},
                                              {"tib", kKibi* kKibi* kKibi* kKibi}}};
constexpr std::array<Unit, 4> kDurationUnits = {{{"ms", 1.0}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}}};

// Takes a plain decimal number (no sign, no exponent) from the front of `text`.
std::optional<double> take_number(std::string_view& text) {
  const size_t length = std::min(text.find_first_not_of("0123456789."), text.size());
  double number = 0.0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + length, number, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + length || length == 0) return std::nullopt;
  text.remove_prefix(length);
  return number;
}

// Takes the letters (and a space before them) from the front of `text`; the unit's factor if there is such a unit.
template <size_t N>
std::optional<double> take_unit(std::string_view& text, const std::array<Unit, N>& units) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  std::string name;
  while (!text.empty() && std::isalpha(static_cast<unsigned char>(text.front())) != 0) {
    name += static_cast<char>(std::tolower(static_cast<unsigned char>(text.front())));
    text.remove_prefix(1);
  }
  for (const Unit& unit : units) {
    if (unit.name == name) return unit.factor;
  }
  return std::nullopt;
}

}  // namespace

Result<uint64_t> parse_size(std::string_view text) {
  constexpr double kLimit = 9223372036854775808.0;  // 2^63
  std::string_view rest = text;
  const std::optional<double> number = take_number(rest);
  const std::optional<double> factor = number ? take_unit(rest, kSizeUnits) : std::nullopt;
  if (!factor || !rest.empty()) return invalid("size: got '{}', want a number and a unit such as 1.5GiB", text);
  const double bytes = std::floor(*number * *factor);
  if (!(bytes < kLimit)) return invalid("size: got '{}', want less than 2^63 bytes", text);
  return static_cast<uint64_t>(bytes);
}

std::string size_text(uint64_t bytes) {
  constexpr std::array<const char*, 6> kNames = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / kKibi;
  size_t name = 0;
  while (value >= 999.5 && name + 1 < kNames.size()) {  // 999.5 would print as 1000
    value /= kKibi;
    name++;
  }
  const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}", value, decimals, kNames[name]);
}

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  constexpr double kLimit = 1e15;  // 30,000 years
  std::string_view rest = text;
  double total = 0.0;
  do {
    const std::optional<double> number = take_number(rest);
    const bool is_plain = number && rest.empty() && total == 0.0;
    const std::optional<double> factor = !number ? std::nullopt : is_plain ? 1e3 : take_unit(rest, kDurationUnits);
    if (!factor) return invalid("duration: got '{}', want numbers and units such as 30s or 1h30m", text);
    total += *number * *factor;
  } while (!rest.empty());
  if (!(total < kLimit)) return invalid("duration: got '{}', want at most 30,000 years", text);
  return std::chrono::milliseconds(static_cast<int64_t>(std::llround(total)));
}

}  // namespace hotaru
