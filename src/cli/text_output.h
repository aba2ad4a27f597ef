// stdout for streamed text: flushed piece by piece, and a reader that went away is noticed.
#pragma once

#include <string_view>

#include "base/result.h"

namespace hotaru::cli {

class TextOutput {
 public:
  // False once a write failed: nobody reads any more, so nothing more needs to be made.
  bool write(std::string_view text);
  [[nodiscard]] bool is_open() const { return error_number_ == 0; }
  [[nodiscard]] bool has_text() const { return has_text_; }
  // An error unless everything was written. A closed pipe (`| head`) is none.
  [[nodiscard]] Result<void> status() const;

 private:
  int error_number_ = 0;
  bool has_text_ = false;
};

}  // namespace hotaru::cli
