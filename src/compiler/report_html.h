// The optimiser's report as one HTML page with plots, that needs nothing else: no script, no network.
#pragma once

#include <string>

#include "compiler/optimise_report.h"

namespace hotaru {

std::string to_html(const OptimiseReport& report);

}  // namespace hotaru
