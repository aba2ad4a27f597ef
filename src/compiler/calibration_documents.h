// Calibration files as documents, before any tokenizer: plain texts, and conversations as JSON lists of messages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace hotaru {

struct CalibrationDocuments {
  std::vector<std::string> texts;
  std::vector<std::string> conversations;  // [{"role": "user", "content": "..."}, ...]
  std::string source;                      // for the report: file names without folders
};

// `.txt`: one text. `.jsonl`: an object a line, with "text" or "messages". No files: the text inside the binary.
Result<CalibrationDocuments> read_calibration_documents(const std::vector<std::string>& files);

// Consecutive paragraphs of plain text as turns of user and assistant, an even number of at most `turns` each.
std::vector<std::string> conversations_from(const std::vector<std::string>& texts, size_t turns);

// The same texts in pieces that end with a paragraph and have at most about `bytes`.
std::vector<std::string> pieces_of(const std::vector<std::string>& texts, size_t bytes);

// The text shipped inside the binary: src/compiler/default_calibration.txt.
std::string_view default_calibration_text();

}  // namespace hotaru
