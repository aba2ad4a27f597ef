#include "compiler/report_file.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "base/file.h"
#include "compiler/report_html.h"
#include "compiler/report_text.h"

namespace hotaru {
namespace {

std::string json_text(const OptimiseReport& report) { return to_json(report, true).dump(2) + "\n"; }

struct Form {
  std::string_view suffix;
  std::string (*write)(const OptimiseReport& report);
};
constexpr std::array kForms = {Form{".json", json_text}, Form{".txt", to_text}, Form{".html", to_html}};

const Form* form_of(std::string_view path) {
  const auto form = std::ranges::find_if(kForms, [path](const Form& one) { return path.ends_with(one.suffix); });
  return form == kForms.end() ? nullptr : &*form;
}

}  // namespace

Result<void> check_report_file(const std::string& path) {
  if (form_of(path) != nullptr) return {};
  return invalid("--report: got '{}', want a name that ends with .json, .txt or .html", path);
}

Result<void> write_report(const OptimiseReport& report, const std::string& path) {
  TRY(check_report_file(path));
  TRY_ASSIGN(OutputFile file, OutputFile::create(path));
  TRY(file.write(form_of(path)->write(report)));
  return file.commit();
}

}  // namespace hotaru
