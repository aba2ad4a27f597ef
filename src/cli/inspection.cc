#include "cli/inspection.h"

#include <filesystem>

#include "base/file.h"
#include "base/size_text.h"
#include "cli/memory_table.h"
#include "compiler/source_hash.h"
#include "compiler/text_sections.h"
#include "format/meta_check.h"
#include "graph/graph.h"

namespace hotaru::cli {
namespace {

Json quantisation_json(const fb::QuantisationInfo* info) {
  if (info == nullptr) return nullptr;
  return {{"weights", text_of(info->weights())},
          {"activations", text_of(info->activations())},
          {"kv", text_of(info->kv())},
          {"recipe", text_of(info->recipe())},
          {"bits_per_weight", info->bits_per_weight()}};
}

Json features_json(const flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>* features) {
  Json list = Json::array();
  if (features == nullptr) return list;
  for (const flatbuffers::String* name : *features) list.push_back(name->str());
  return list;
}

Json adapters_json(const flatbuffers::Vector<flatbuffers::Offset<fb::Adapter>>* adapters) {
  Json list = Json::array();
  if (adapters == nullptr) return list;
  for (const fb::Adapter* adapter : *adapters) {
    Json targets = Json::array();
    if (adapter->targets() != nullptr) {
      for (const auto* target : *adapter->targets()) targets.push_back(text_of(target));
    }
    list.push_back({{"name", text_of(adapter->name())},
                    {"rank", adapter->rank()},
                    {"alpha", adapter->alpha()},
                    {"targets", std::move(targets)},
                    {"bytes", adapter->bytes()}});
  }
  return list;
}

Result<bool> has_chat_template(const Container& container) {
  const auto tokenizer = container.text(SectionType::kTokenizer);
  const auto rest = container.text(SectionType::kTokenizerConfig);
  if (!tokenizer || !rest) return false;
  TRY_ASSIGN(const TextBundle bundle, TextBundle::from_json(*tokenizer, *rest));
  return !bundle.chat_template.empty();
}

// Keys that HAR and HEF share, in the order of the contract.
template <typename Meta>
Result<Json> file_summary(const char* kind, const Container& container, const Meta& meta) {
  const fb::ModelIdentity* identity = meta.identity();
  const bool is_known = identity != nullptr;
  TRY_ASSIGN(const bool chat_template, has_chat_template(container));
  return Json{{"kind", kind},
              {"format_version", fmt::format("{}.{}", container.major(), container.minor())},
              {"name", is_known ? text_of(identity->name()) : ""},
              {"architecture", is_known ? text_of(identity->architecture()) : ""},
              {"hash", fmt::format("{:016x}", container.content_hash())},
              {"parameters", is_known ? identity->parameters() : 0},
              {"synthetic", is_known && identity->synthetic()},
              {"context_tokens", meta.shape()->max_positions()},
              {"quantisation", quantisation_json(meta.quantisation())},
              {"memory", nullptr},
              {"features", features_json(meta.required_features())},
              {"adapters", adapters_json(meta.adapters())},
              {"programs", Json::array()},
              {"chat_template", chat_template}};
}

Result<Inspection> inspect_hef(const std::string& path, ThreadPool& pool) {
  Inspection found;
  TRY_ASSIGN(found.hef, HefFile::open(path, {&pool}));
  const fb::Hef& meta = found.hef->meta();
  TRY_ASSIGN(found.summary, file_summary("hef", found.hef->container(), meta));
  found.checksums = found.hef->container().sections().size();
  found.summary["context_tokens"] = meta.kv()->context_tokens();
  fb::MemoryPlanT memory;
  meta.memory()->UnPackTo(&memory);
  found.summary["memory"] = memory_json(memory);
  for (const fb::Program* program : *meta.programs()) {
    found.summary["programs"].push_back(
        {{"name", text_of(program->name())}, {"max_rows", program->max_rows()}, {"calls", program->calls()->size()}});
  }
  return found;
}

Result<Inspection> inspect_har(const std::string& path, ThreadPool& pool) {
  Inspection found;
  TRY_ASSIGN(found.har, HarFile::open(path, {&pool}));
  TRY_ASSIGN(found.summary, file_summary("har", found.har->container(), found.har->meta()));
  found.checksums = found.har->container().sections().size();
  return found;
}

// Keys that a context has no answer to are there, as in the other kinds.
Result<Inspection> inspect_context(const std::string& path) {
  Inspection found;
  TRY_ASSIGN(found.context, ContextFile::open(path));
  const fb::SavedContext& meta = found.context->meta();
  const Container& container = found.context->container();
  found.checksums = container.sections().size();
  const fb::SavedReply* reply = meta.cut_reply();
  found.summary = {{"kind", "context"},
                   {"format_version", fmt::format("{}.{}", container.major(), container.minor())},
                   {"name", text_of(meta.model_name())},
                   {"architecture", nullptr},
                   {"hash", fmt::format("{:016x}", container.content_hash())},
                   {"parameters", nullptr},
                   {"synthetic", false},
                   {"context_tokens", found.context->ids().size()},
                   {"quantisation", nullptr},
                   {"memory", nullptr},
                   {"adapters", Json::array()},
                   {"programs", Json::array()},
                   {"chat_template", false},
                   {"model_hash", fmt::format("{:016x}", meta.model_hash())},
                   {"adapter", nullptr},
                   {"stored_tokens", meta.stored_tokens()},
                   {"pages", found.context->page_count()},
                   {"page_bytes", meta.page_bytes()},
                   {"cut_reply_tokens", nullptr},
                   {"host_state_bytes", found.context->host_state().size()}};
  if (meta.adapter() != nullptr) found.summary["adapter"] = text_of(meta.adapter());
  if (reply != nullptr) {
    found.summary["cut_reply_tokens"] = reply->generated() == nullptr ? 0 : reply->generated()->size();
  }
  return found;
}

Result<Inspection> inspect_checkpoint(const std::string& directory) {
  Inspection found;
  TRY_ASSIGN(found.checkpoint, Checkpoint::open(directory));
  TRY_ASSIGN(const Graph graph, build_graph(*found.checkpoint));
  TRY_ASSIGN(const std::string hash, source_hash(*found.checkpoint));
  TRY_ASSIGN(const auto text, load_text(directory));
  found.summary = {{"kind", "checkpoint"},
                   {"format_version", nullptr},
                   {"name", graph.name},
                   {"architecture", graph.architecture},
                   {"hash", hash},
                   {"parameters", parameter_count(graph)},
                   {"synthetic", false},
                   {"context_tokens", graph.shape.max_positions},
                   {"quantisation", nullptr},
                   {"memory", nullptr},
                   {"features", Json::array()},
                   {"adapters", Json::array()},
                   {"programs", Json::array()},
                   {"chat_template", text && !text->chat_template.empty()}};
  return found;
}

template <typename Meta>
void add_tensors(const Meta& meta, Json& list) {
  for (const fb::Tensor* tensor : *meta.tensors()) {
    const std::vector<uint64_t> shape(tensor->shape()->begin(), tensor->shape()->end());
    list.push_back({{"name", text_of(tensor->name())},
                    {"type", fb::EnumNameLayout(tensor->layout())},
                    {"shape", shape},
                    {"bytes", tensor->bytes()}});
  }
}

std::string line(const char* name, const std::string& value) { return fmt::format("{:<14}{}\n", name, value); }

std::string context_text(const Json& summary) {
  const auto number = [&summary](const char* key) { return summary[key].get<uint64_t>(); };
  const Json& adapter = summary["adapter"];
  const Json& reply = summary["cut_reply_tokens"];
  std::string out = line("kind", "context");
  out += line("model",
              fmt::format("{} ({})", summary["name"].get<std::string>(), summary["model_hash"].get<std::string>()));
  out += line("adapter", adapter.is_null() ? "none" : adapter.get<std::string>());
  out += line("tokens", fmt::format("{}, of them {} stored", number("context_tokens"), number("stored_tokens")));
  out += line("pages", fmt::format("{} of {}", number("pages"), size_text(number("page_bytes"))));
  out += line("cut reply", reply.is_null() ? "none" : fmt::format("after {} tokens", reply.get<uint64_t>()));
  out += line("host state", size_text(number("host_state_bytes")));
  return out + line("hash", summary["hash"].get<std::string>());
}

}  // namespace

Result<Inspection> inspect_path(const std::string& path, ThreadPool& pool) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) return inspect_checkpoint(path);
  TRY_ASSIGN(const MappedFile file, MappedFile::open(path));
  TRY_ASSIGN(const FileKind kind, recognise_file(file.bytes(), path));
  if (kind == FileKind::kContext) return inspect_context(path);
  return kind == FileKind::kHef ? inspect_hef(path, pool) : inspect_har(path, pool);
}

Json tensors_json(const Inspection& found) {
  Json list = Json::array();
  if (found.hef) add_tensors(found.hef->meta(), list);
  if (found.har) add_tensors(found.har->meta(), list);
  if (!found.checkpoint) return list;
  for (const auto& [name, tensor] : found.checkpoint->tensors.tensors()) {
    list.push_back(
        {{"name", name}, {"type", dtype_name(tensor.dtype)}, {"shape", tensor.shape}, {"bytes", tensor.bytes.size()}});
  }
  return list;
}

std::string summary_text(const Inspection& found) {
  const Json& summary = found.summary;
  if (found.context) return context_text(summary);
  const auto text = [&summary](const char* key) { return summary[key].get<std::string>(); };
  const bool is_synthetic = summary["synthetic"].get<bool>();
  std::string out = line("kind", text("kind") + (is_synthetic ? ", synthetic: random weights, for speed only" : ""));
  out += line("name", text("name"));
  out += line("architecture", text("architecture"));
  out += line("parameters", fmt::format("{:.1f} M", summary["parameters"].get<double>() / 1e6));
  out += line("context", fmt::format("{} tokens", summary["context_tokens"].get<int64_t>()));
  out += line("chat template", summary["chat_template"].get<bool>() ? "yes" : "no");
  out += line("hash", text("hash"));
  if (const Json& quantisation = summary["quantisation"]; quantisation.is_object()) {
    out += line("weights",
                fmt::format("{}, {:.2f} bits a weight, recipe {}", quantisation["weights"].get<std::string>(),
                            quantisation["bits_per_weight"].get<double>(), quantisation["recipe"].get<std::string>()));
    out += line("activations", quantisation["activations"].get<std::string>());
    out += line("KV cache", quantisation["kv"].get<std::string>());
  }
  if (const auto features = summary["features"].get<std::vector<std::string>>(); !features.empty()) {
    out += line("features", fmt::format("{}", fmt::join(features, ", ")));
  }
  for (const Json& program : summary["programs"]) {
    out += line("program", fmt::format("{}: {} calls, at most {} rows", program["name"].get<std::string>(),
                                       program["calls"].get<int64_t>(), program["max_rows"].get<int64_t>()));
  }
  for (const Json& adapter : summary["adapters"]) {
    out +=
        line("adapter", fmt::format("{}, rank {}", adapter["name"].get<std::string>(), adapter["rank"].get<int64_t>()));
  }
  if (const Json& memory = summary["memory"]; memory.is_object()) {
    out += line("memory", size_text(memory["total"].get<uint64_t>()) + ", see --memory");
  }
  return out;
}

}  // namespace hotaru::cli
