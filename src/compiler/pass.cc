#include "compiler/pass.h"

#include <algorithm>

namespace hotaru {

bool is_skipped(const PassContext& context, std::string_view name) {
  return std::ranges::find(context.skip, name) != context.skip.end();
}

std::string_view effect_name(Effect effect) {
  switch (effect) {
    case Effect::kNothing:
      return "none";
    case Effect::kEquivalent:
      return "equivalent";
    case Effect::kLossy:
      return "lossy";
    case Effect::kExact:
      return "exact";
  }
  return "?";
}

Result<void> want_observed(const PassContext& context) {
  if (!context.observed.empty()) return {};
  return invalid("no channel was observed: want the pass 'observe' before");
}

}  // namespace hotaru
