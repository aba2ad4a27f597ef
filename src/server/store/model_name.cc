#include "server/store/model_store.h"

namespace hotaru::server {
namespace {

constexpr size_t kLongestWord = 80;  // Ollama's
constexpr size_t kMostParts = 4;

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// A word cannot be "", ".", ".." or hidden: it begins with a letter, a digit or '_'.
bool is_word(std::string_view word) {
  if (word.empty() || word.size() > kLongestWord) return false;
  if (!is_letter_or_digit(word.front()) && word.front() != '_') return false;
  for (const char c : word) {
    if (!is_letter_or_digit(c) && c != '.' && c != '_' && c != '-') return false;
  }
  return true;
}

// Takes what stands before the first `mark` (all, if there is none) from the front of `text`.
std::string_view take_until(std::string_view& text, char mark) {
  const size_t end = std::min(text.find(mark), text.size());
  const std::string_view head = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return head;
}

bool is_path_of_words(std::string_view text) {
  if (text.ends_with('/')) return false;
  size_t parts = 0;
  while (!text.empty()) {
    const std::string_view part = take_until(text, '/');
    if (!is_word(part) || ++parts > kMostParts) return false;
    if (parts == 1 && part == "blobs" && !text.empty()) return false;  // the store's own folder
  }
  return parts > 0;
}

}  // namespace

Result<ModelName> ModelName::parse(std::string_view text) {
  const auto refused = [text] {
    return invalid(
        "invalid model name '{}': want letters, digits, '.', '_', '-' and '/' between parts, then ':' and a tag",
        text.substr(0, 2 * kLongestWord));
  };
  std::string_view rest = text;
  const std::string_view path = take_until(rest, ':');
  if (!is_path_of_words(path) || text.ends_with(':')) return refused();
  ModelName name{std::string(path), {}};
  std::vector<std::string_view> words;
  while (!rest.empty()) words.push_back(take_until(rest, ':'));
  if (words.size() > 2) return refused();
  for (const std::string_view word : words) {
    if (!is_word(word)) return refused();
  }
  if (!words.empty() && words.front() == "latest") words.erase(words.begin());
  if (words.size() == 2) name.name += fmt::format(":{}", words.front());
  if (!words.empty() && words.back() != "latest") name.adapter = words.back();
  return name;
}

std::string ModelName::text() const {
  if (!adapter.empty()) return name + ":" + adapter;
  return name.find(':') == std::string::npos ? name + ":latest" : name;
}

}  // namespace hotaru::server
