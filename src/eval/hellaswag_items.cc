// Reading HellaSwag: JSONL with the harness' cleaning, or six lines an item, which are clean already.
#include <algorithm>

#include "base/json.h"
#include "eval/hellaswag.h"

namespace hotaru {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n\v\f");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n\v\f") - begin + 1);
}

// "[...]" without its brackets' content, shortest match, on one line.
void remove_bracketed(std::string& text) {
  for (size_t open = text.find('['); open != std::string::npos; open = text.find('[', open)) {
    const size_t close = text.find_first_of("]\n", open);
    if (close == std::string::npos) return;
    if (text[close] == ']') {
      text.erase(open, close - open + 1);
    } else {
      open = close;
    }
  }
}

// lm-evaluation-harness, hellaswag/utils.py: preprocess()
std::string cleaned(std::string_view raw) {
  std::string text(trimmed(raw));
  replace_all(text, " [title]", ". ");
  remove_bracketed(text);
  replace_all(text, "  ", " ");
  return text;
}

// Python's str.capitalize(): the first letter upper, all others lower case (here: ASCII letters).
std::string capitalised(std::string text) {
  for (size_t i = 0; i < text.size(); i++) {
    char& c = text[i];
    if (i == 0 && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (i > 0 && c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

// The label is a number, or a number in quotes.
Result<int> parse_label(const Json& object) {
  const auto found = object.find("label");
  if (found != object.end() && found->is_string()) {
    const std::string& text = found->get_ref<const std::string&>();
    if (text.size() == 1 && text[0] >= '0' && text[0] <= '3') return text[0] - '0';
    return invalid("'label': got \"{}\", want 0 to 3", text);
  }
  TRY_ASSIGN(const int64_t label, json_integer(object, "label", 0, 3));
  return static_cast<int>(label);
}

Result<std::string> required_string(const Json& object, const char* field) {
  if (!object.contains(field)) return invalid("'{}': missing, want a string", field);
  return json_string(object, field, "");
}

Result<HellaswagItem> parse_object(std::string_view line) {
  TRY_ASSIGN(const Json object, parse_json(line, "item"));
  if (!object.is_object()) return invalid("got {}, want an object", object.type_name());
  TRY_ASSIGN(const std::string activity, required_string(object, "activity_label"));
  TRY_ASSIGN(const std::string first, required_string(object, "ctx_a"));
  TRY_ASSIGN(const std::string second, required_string(object, "ctx_b"));
  HellaswagItem item;
  item.context = cleaned(activity + ": " + first + " " + capitalised(second));
  TRY_ASSIGN(item.label, parse_label(object));
  const auto endings = object.find("endings");
  if (endings == object.end() || !endings->is_array() || endings->size() != item.endings.size()) {
    return invalid("'endings': want a list of {} strings", item.endings.size());
  }
  for (size_t i = 0; i < item.endings.size(); i++) {
    if (!(*endings)[i].is_string()) return invalid("'endings': want a list of {} strings", item.endings.size());
    item.endings[i] = cleaned((*endings)[i].get_ref<const std::string&>());
  }
  return item;
}

struct Line {
  size_t number;
  std::string_view text;
};

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  size_t number = 0;
  for (size_t begin = 0; begin < text.size(); number++) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string_view line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!trimmed(line).empty()) lines.push_back({number + 1, line});
    begin = end + 1;
  }
  return lines;
}

Result<std::vector<HellaswagItem>> parse_six_lines(const std::vector<Line>& lines) {
  std::vector<HellaswagItem> items;
  if (lines.size() % 6 != 0) return invalid("got {} lines that are not empty, want a multiple of 6", lines.size());
  for (size_t i = 0; i < lines.size(); i += 6) {
    HellaswagItem item;
    item.context = lines[i].text;
    const std::string_view label = trimmed(lines[i + 1].text);
    if (label.size() != 1 || label[0] < '0' || label[0] > '3') {
      return invalid("line {}: got label '{}', want 0 to 3", lines[i + 1].number, label);
    }
    item.label = label[0] - '0';
    for (size_t j = 0; j < item.endings.size(); j++) item.endings[j] = lines[i + 2 + j].text;
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace

Result<std::vector<HellaswagItem>> parse_hellaswag(std::string_view text) {
  const std::vector<Line> lines = lines_of(text);
  if (lines.empty()) return invalid("got an empty file, want items");
  if (!lines.front().text.starts_with('{')) return parse_six_lines(lines);
  std::vector<HellaswagItem> items;
  for (const Line& line : lines) {
    auto item = parse_object(line.text);
    if (!item) return at(fmt::format("line {}", line.number), std::move(item).error());
    items.push_back(*std::move(item));
  }
  return items;
}

}  // namespace hotaru
