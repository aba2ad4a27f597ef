// Where `optimize --report` writes to; the suffix says how: .json, .txt or .html.
#pragma once

#include <string>

#include "base/result.h"
#include "compiler/optimise_report.h"

namespace hotaru {

// An error for any other suffix.
Result<void> check_report_file(const std::string& path);
Result<void> write_report(const OptimiseReport& report, const std::string& path);

}  // namespace hotaru
