// Columns as Ollama prints them, and times as people say them.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace hotaru::cli {

class Table {
 public:
  explicit Table(std::vector<std::string> titles) : rows_{std::move(titles)} {}
  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  [[nodiscard]] std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

std::string time_span(std::chrono::system_clock::duration span);  // "3 minutes"
std::string time_ago(std::chrono::system_clock::duration age);    // "3 minutes ago", "just now"

}  // namespace hotaru::cli
