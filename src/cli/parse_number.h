// A whole text as one number: "0.5", "-inf", "42". Nothing else around it, no locale.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>

namespace hotaru::cli {

template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace hotaru::cli
