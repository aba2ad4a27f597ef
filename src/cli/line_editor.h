// One line from the user at the terminal: editing, history in memory and in a file (libedit).
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace hotaru::cli {

class LineEditor {
 public:
  enum class Event { kLine, kInterrupt, kEnd };  // Enter, Ctrl-C, Ctrl-D on an empty line
  struct Input {
    Event event = Event::kEnd;
    std::string text;  // UTF-8, without the newline
  };

  // Edits on stdin and stderr (stdout is for replies). An empty path keeps the history in memory only.
  static Result<LineEditor> open(const std::string& history_path);
  LineEditor(LineEditor&&) noexcept;
  ~LineEditor();

  Input read(const std::string& prompt);

 private:
  struct State;
  explicit LineEditor(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// ~/.hotaru/history, its folder made if needed; "" without a home.
std::string history_path();

}  // namespace hotaru::cli
