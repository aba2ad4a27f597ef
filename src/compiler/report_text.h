// The optimiser's report as a table for people at a terminal.
#pragma once

#include <string>

#include "compiler/optimise_report.h"

namespace hotaru {

std::string to_text(const OptimiseReport& report);

}  // namespace hotaru
