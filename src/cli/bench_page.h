// What `hotaru bench` found, as one HTML page that needs nothing else: bars, the roofline, and every table.
#pragma once

#include <string>

#include "cli/bench_report.h"

namespace hotaru::cli {

std::string bench_page(const BenchResult& result);

}  // namespace hotaru::cli
