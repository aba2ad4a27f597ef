// What the optimiser did and what it cost: `optimize --report`, and (without times) the report section of the HAR.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "compiler/gptq.h"
#include "graph/graph.h"

namespace hotaru {

struct PassReport {
  std::string name;
  std::string effect;
  bool is_skipped = false;
  double seconds = 0;
  std::string note;  // what it chose, in words; mostly empty
};

// A quantised matrix. SQNR in dB: power of the weights over power of the error.
struct MatrixReport {
  std::string name;
  int layer = -1;
  std::string method;  // "rtn int4 group 32", "int8 per row"
  int64_t rows = 0;
  int64_t inputs = 0;
  double sqnr_db = 0;
  double seconds = 0;
  std::optional<GptqReport> gptq = {};
};

// A value with a static range: what calibration saw and what was chosen.
struct RangeReport {
  std::string value;
  int layer = -1;
  double lowest = 0;
  double highest = 0;
  double low = 0;
  double high = 0;
  StaticRange range;
  double sqnr_db = 0;
  int bits = 8;
  std::string reason = {};  // why not the usual way
};

struct OptimiseReport {
  std::string model;
  std::string architecture;
  std::string recipe;
  int group = 32;
  uint64_t seed = 0;
  std::string calibration;  // what text, how many segments and tokens
  std::vector<PassReport> passes;
  std::vector<MatrixReport> matrices;
  std::vector<RangeReport> ranges;
  std::vector<std::string> notes;  // what was chosen, and why
  std::vector<std::string> warnings;
};

// One object; "layers" lists matrices and ranges layer by layer (-1: embedding, the number of layers: head).
Json to_json(const OptimiseReport& report, bool with_times);

}  // namespace hotaru
