#include "compiler/lower_adapters.h"

#include <map>

#include "compiler/block.h"

namespace hotaru {
namespace {

// Where a linear's outputs went.
struct FusedPlace {
  std::string site;
  uint32_t begin = 0;
  uint64_t outputs = 0;
  uint64_t inputs = 0;
};
using FusedPlaces = std::map<std::string, FusedPlace>;  // by the linear's name

void add_places(const Graph& graph, const std::string& site, const std::vector<const Node*>& parts,
                FusedPlaces& places) {
  uint32_t begin = 0;
  for (const Node* node : parts) {
    const Parameter& weight = graph.parameters[static_cast<size_t>(node->weight)];
    places[node->name] = {site, begin, static_cast<uint64_t>(weight.rows), static_cast<uint64_t>(weight.columns)};
    begin += static_cast<uint32_t>(weight.rows);
  }
}

// The same parts and names as Lowering::lower_block.
Result<FusedPlaces> places_of(const Graph& graph) {
  FusedPlaces places;
  for (int layer = 0; layer < graph.shape.layers; layer++) {
    TRY_ASSIGN(const Block block, match_block(graph, layer));
    const std::string in_layer = fmt::format("layers.{}.", layer);
    add_places(graph, in_layer + "qkv", {block.q, block.k, block.v}, places);
    add_places(graph, in_layer + "o", {block.o}, places);
    add_places(graph, in_layer + "gate_up", {block.gate, block.up}, places);
    add_places(graph, in_layer + "down", {block.down}, places);
  }
  return places;
}

Result<void> lower_site(const FusedPlaces& places, fb::AdapterSiteT& site) {
  const auto found = places.find(site.site);
  if (found == places.end()) return invalid("the model has no such linear");
  const FusedPlace& place = found->second;
  if (site.output_begin != 0 || site.output_count != place.outputs || site.down->shape[1] != place.inputs) {
    return invalid("got [{}, {}] from output {}, the linear is [{}, {}]", site.output_count, site.down->shape[1],
                   site.output_begin, place.outputs, place.inputs);
  }
  site.site = place.site;
  site.output_begin = place.begin;
  return {};
}

}  // namespace

Result<void> lower_adapters(const OptimisedModel& model, fb::HefT& meta) {
  if (model.adapters.empty()) return {};
  TRY_ASSIGN(const FusedPlaces places, places_of(model.graph));
  for (const StoredAdapter& stored : model.adapters) {
    auto adapter = std::make_unique<fb::AdapterT>(stored.table);
    adapter->section = static_cast<uint32_t>(meta.adapters.size());
    for (const auto& site : adapter->sites) {
      const std::string place = fmt::format("adapter '{}' site '{}'", adapter->name, site->site);
      if (auto lowered = lower_site(places, *site); !lowered) return at(place, std::move(lowered).error());
    }
    meta.adapters.push_back(std::move(adapter));
  }
  return {};
}

uint64_t adapter_memory_bytes(const fb::HefT& meta) {
  uint64_t bytes = 0;
  for (const auto& adapter : meta.adapters) {
    bytes += adapter->bytes;
    // Offsets of both products, scales of the first.
    for (const auto& site : adapter->sites) bytes += sizeof(float) * (uint64_t{2} * site->rank + site->output_count);
  }
  return bytes;
}

}  // namespace hotaru
