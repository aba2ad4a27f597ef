// Writes HTML (with SVG) element by element: what is opened gets closed, what is put in is escaped.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hotaru {

class Markup {
 public:
  using Attribute = std::pair<std::string_view, std::string>;
  using Attributes = std::initializer_list<Attribute>;

  void open(std::string_view name, Attributes attributes = {});
  void close();
  void text(std::string_view text);
  // An element that holds text only.
  void leaf(std::string_view name, std::string_view text, Attributes attributes = {});
  // An element that holds nothing: <meta/>, <line/>.
  void empty(std::string_view name, Attributes attributes);
  // As it is: the doctype, a style sheet of ours.
  void verbatim(std::string_view text) { out_ += text; }

  // The text; everything must be closed.
  [[nodiscard]] std::string take();

 private:
  void begin(std::string_view name, Attributes attributes);
  std::string out_;
  std::vector<std::string> open_;
};

// The style sheet of our pages (report.css).
std::string_view report_style();

}  // namespace hotaru
