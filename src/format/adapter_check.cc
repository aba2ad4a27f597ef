#include "format/adapter_check.h"

#include <map>
#include <string_view>
#include <utility>

#include "format/meta_check.h"

namespace hotaru {
namespace {

constexpr std::string_view kOutputProgram = "head";
constexpr uint64_t kLargestProduct = 255 * 128;

using Linears = std::map<std::string_view, const fb::LinearCall*>;  // by site

Result<void> add_linears(const fb::Program& program, Linears& linears) {
  for (const fb::Call* call : *program.calls()) {
    const fb::LinearCall* linear = call->operation_as_LinearCall();
    if (linear == nullptr || text_of(linear->site()).empty()) continue;
    if (linears.emplace(text_of(linear->site()), linear).second) continue;
    return invalid("site '{}' is there twice", text_of(linear->site()));
  }
  return {};
}

// Of what a step plays: a body program and the output program after it.
Result<Linears> linears_of(const fb::Hef& meta, const fb::Program& body) {
  Linears linears;
  TRY(add_linears(body, linears));
  for (const fb::Program* program : *meta.programs()) {
    if (text_of(program->name()) == kOutputProgram) TRY(add_linears(*program, linears));
  }
  return linears;
}

// Codes and their offset, as large as they can be.
Result<void> check_sum(uint64_t inputs) {
  if (2 * kLargestProduct * inputs <= INT32_MAX) return {};
  return not_supported("{} inputs: the 32-bit sum could overflow", inputs);
}

Result<void> check_site(const fb::Hef& meta, const Linears& linears, const fb::AdapterSite& site) {
  const auto found = linears.find(text_of(site.site()));
  if (found == linears.end()) return invalid("there is no linear of that name");
  const fb::LinearCall& linear = *found->second;
  const auto& shape = *meta.tensors()->Get(static_cast<unsigned>(linear.weight()))->shape();
  const uint64_t inputs = site.down()->shape()->Get(1);
  const uint64_t end = uint64_t{site.output_begin()} + site.output_count();
  if (inputs != shape.Get(1) || end > shape.Get(0)) {
    return invalid("got {} inputs and outputs up to {}, the linear has {} and {}", inputs, end, shape.Get(1),
                   shape.Get(0));
  }
  const int largest_code = linear.input_bits() == 16 ? 65535 : 255;
  if (linear.input_zero_point() < 0 || linear.input_zero_point() > largest_code) {
    return invalid("its linear has the zero point {}, want 0 to {}", linear.input_zero_point(), largest_code);
  }
  TRY(check_sum(inputs));
  return check_sum(site.up()->shape()->Get(1));
}

// Threads add to the outputs of different sites at the same time.
Result<void> check_disjoint(const fb::Adapter& adapter) {
  std::map<std::pair<std::string_view, uint64_t>, uint64_t> ends;  // of (site, begin)
  for (const fb::AdapterSite* site : *adapter.sites()) {
    const uint64_t begin = site->output_begin();
    const uint64_t end = begin + site->output_count();
    const auto [place, is_new] = ends.emplace(std::pair(text_of(site->site()), begin), end);
    const auto next = std::next(place);
    const bool meets_next = next != ends.end() && next->first.first == place->first.first && next->first.second < end;
    const bool meets_before = place != ends.begin() && std::prev(place)->first.first == place->first.first &&
                              std::prev(place)->second > begin;
    if (is_new && !meets_next && !meets_before) continue;
    return invalid("site '{}': two additions to output {}", text_of(site->site()), begin);
  }
  return {};
}

Result<void> check_adapter(const fb::Hef& meta, const Linears& linears, const fb::Adapter& adapter) {
  for (const fb::AdapterSite* site : *adapter.sites()) {
    auto checked = check_site(meta, linears, *site);
    if (!checked) return at(fmt::format("site '{}'", text_of(site->site())), std::move(checked).error());
  }
  return check_disjoint(adapter);
}

}  // namespace

Result<void> check_adapter_sites(const fb::Hef& meta) {
  if (meta.adapters() == nullptr || meta.adapters()->size() == 0) return {};
  for (const fb::Program* program : *meta.programs()) {
    if (text_of(program->name()) == kOutputProgram) continue;
    TRY_ASSIGN(const Linears linears, linears_of(meta, *program));
    for (const fb::Adapter* adapter : *meta.adapters()) {
      if (adapter->sites() == nullptr) continue;
      auto checked = check_adapter(meta, linears, *adapter);
      if (!checked) return at(fmt::format("adapter '{}'", text_of(adapter->name())), std::move(checked).error());
    }
  }
  return {};
}

}  // namespace hotaru
