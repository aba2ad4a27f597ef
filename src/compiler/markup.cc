#include "compiler/markup.h"

#include "base/check.h"

namespace hotaru {
namespace {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

}  // namespace

void Markup::begin(std::string_view name, Attributes attributes) {
  out_ += '<';
  out_ += name;
  for (const auto& [key, value] : attributes) {
    out_ += ' ';
    out_ += key;
    out_ += "=\"" + escaped(value) + '"';
  }
}

void Markup::open(std::string_view name, Attributes attributes) {
  begin(name, attributes);
  out_ += '>';
  open_.emplace_back(name);
}

void Markup::close() {
  CHECK(!open_.empty());
  out_ += "</" + open_.back() + ">\n";
  open_.pop_back();
}

void Markup::text(std::string_view text) { out_ += escaped(text); }

void Markup::leaf(std::string_view name, std::string_view content, Attributes attributes) {
  open(name, attributes);
  text(content);
  close();
}

void Markup::empty(std::string_view name, Attributes attributes) {
  begin(name, attributes);
  out_ += "/>\n";
}

std::string Markup::take() {
  CHECK(open_.empty());
  return std::move(out_);
}

}  // namespace hotaru
