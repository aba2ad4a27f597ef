#include "cli/version.h"

#include <fmt/format.h>

#include "generated_version.h"
#include "tensor/isa.h"

namespace hotaru::cli {

std::string commit_text() { return kCommit; }

std::string producer_text() { return fmt::format("hotaru {}", kVersion); }

std::string version_text() {
  std::string text = fmt::format("{} (commit {})\ncompiled for:", producer_text(), commit_text());
  for (const Isa isa : compiled_isas()) text += fmt::format(" {}", isa_name(isa));
  text += "\navailable here:";
  for (const Isa isa : available_isas()) text += fmt::format(" {}", isa_name(isa));
  const auto chosen = parse_isa("");
  return text + fmt::format("\nin use: {}", chosen ? isa_name(*chosen) : chosen.error().message);
}

}  // namespace hotaru::cli
