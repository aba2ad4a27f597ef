#include "compiler/calibration_documents.h"

#include <filesystem>

#include "base/file.h"
#include "base/json.h"

namespace hotaru {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 30;

// Calls `visit` for each part of `text` between separators, empty ones left out.
template <typename Visit>
void for_each_part(std::string_view text, std::string_view separator, const Visit& visit) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(separator), text.size());
    if (end > 0) visit(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + separator.size()));
  }
}

Result<void> read_line(const Json& line, CalibrationDocuments& documents) {
  if (!line.is_object()) return invalid("want an object with \"text\" or \"messages\"");
  if (const auto messages = line.find("messages"); messages != line.end()) {
    if (!messages->is_array()) return invalid("'messages': want a list");
    documents.conversations.push_back(messages->dump());
    return {};
  }
  const auto text = line.find("text");
  if (text == line.end() || !text->is_string()) return invalid("want \"text\" (a string) or \"messages\" (a list)");
  documents.texts.push_back(text->get<std::string>());
  return {};
}

Result<void> read_lines(std::string_view content, const std::string& file, CalibrationDocuments& documents) {
  int number = 0;
  while (!content.empty()) {
    const size_t end = std::min(content.find('\n'), content.size());
    const std::string_view line = content.substr(0, end);
    content.remove_prefix(std::min(content.size(), end + 1));
    number++;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string place = fmt::format("{} line {}", file, number);
    TRY_ASSIGN(const Json json, parse_json(line, place));
    if (auto read = read_line(json, documents); !read) return at(place, std::move(read).error());
  }
  return {};
}

}  // namespace

Result<CalibrationDocuments> read_calibration_documents(const std::vector<std::string>& files) {
  CalibrationDocuments documents;
  if (files.empty()) {
    documents.texts.emplace_back(default_calibration_text());
    documents.source = "the text inside hotaru";
    return documents;
  }
  for (const std::string& file : files) {
    const std::filesystem::path path(file);
    TRY_ASSIGN(std::string content, read_text_file(file, kMaxFileBytes));
    if (path.extension() == ".jsonl") {
      TRY(read_lines(content, file, documents));
    } else if (path.extension() == ".txt") {
      documents.texts.push_back(std::move(content));
    } else {
      return invalid("--calibration {}: want a .txt or a .jsonl file", file);
    }
    documents.source += fmt::format("{}{}", documents.source.empty() ? "" : ", ", path.filename().string());
  }
  return documents;
}

std::vector<std::string> conversations_from(const std::vector<std::string>& texts, size_t turns) {
  std::vector<std::string> conversations;
  Json messages = Json::array();
  for (const std::string& text : texts) {
    for_each_part(text, "\n\n", [&](std::string_view paragraph) {
      const char* role = messages.size() % 2 == 0 ? "user" : "assistant";
      messages.push_back({{"role", role}, {"content", paragraph}});
      if (messages.size() < turns) return;
      conversations.push_back(messages.dump(-1, ' ', false, Json::error_handler_t::replace));
      messages.clear();
    });
  }
  if (messages.size() % 2 == 1) messages.erase(messages.size() - 1);
  if (!messages.empty()) conversations.push_back(messages.dump(-1, ' ', false, Json::error_handler_t::replace));
  return conversations;
}

std::vector<std::string> pieces_of(const std::vector<std::string>& texts, size_t bytes) {
  std::vector<std::string> pieces;
  std::string piece;
  for (const std::string& text : texts) {
    for_each_part(text, "\n\n", [&](std::string_view paragraph) {
      piece += paragraph;
      piece += "\n\n";
      if (piece.size() < bytes) return;
      pieces.push_back(std::move(piece));
      piece.clear();
    });
  }
  if (!piece.empty()) pieces.push_back(std::move(piece));
  return pieces;
}

}  // namespace hotaru
