#include "cli/memory_table.h"

#include <fmt/format.h>

#include <array>

#include "base/size_text.h"

namespace hotaru::cli {

Json memory_json(const fb::MemoryPlanT& memory) {
  const uint64_t activations = memory.activations + memory.tables + memory.workspace_per_thread;
  return {{"weights", memory.weights},
          {"kv", memory.kv},
          {"activations", activations},
          {"adapters", memory.adapters},
          {"total", memory.total}};
}

std::string memory_table(const fb::MemoryPlanT& memory) {
  struct Part {
    const char* name;
    uint64_t bytes;
  };
  const std::array parts = {Part{"weights", memory.weights},
                            Part{"KV cache", memory.kv},
                            Part{"activations", memory.activations},
                            Part{"rope tables", memory.tables},
                            Part{"adapters", memory.adapters},
                            Part{"workspace of a thread", memory.workspace_per_thread},
                            Part{"total", memory.total}};
  std::string table;
  for (const Part& part : parts) {
    const double share =
        memory.total == 0 ? 0 : 100.0 * static_cast<double>(part.bytes) / static_cast<double>(memory.total);
    table += fmt::format("  {:<22}{:>12}  {:5.1f} %\n", part.name, size_text(part.bytes), share);
  }
  return table;
}

}  // namespace hotaru::cli
