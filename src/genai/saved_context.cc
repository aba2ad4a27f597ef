#include "genai/saved_context.h"

#include <memory>
#include <utility>

#include "format/context_file.h"
#include "format/meta_check.h"

namespace hotaru {
namespace {

std::unique_ptr<fb::SavedSamplingT> saved_sampling(const SamplingParams& params) {
  auto saved = std::make_unique<fb::SavedSamplingT>();
  saved->temperature = params.temperature;
  saved->top_k = params.top_k;
  saved->top_p = params.top_p;
  saved->min_p = params.min_p;
  saved->repetition_penalty = params.repetition_penalty;
  saved->frequency_penalty = params.frequency_penalty;
  saved->presence_penalty = params.presence_penalty;
  saved->seed = params.seed;
  for (const LogitBias& bias : params.logit_bias) {
    saved->logit_bias.push_back(std::make_unique<fb::SavedBiasT>());
    saved->logit_bias.back()->id = bias.id;
    saved->logit_bias.back()->bias = bias.bias;
  }
  return saved;
}

SamplingParams restored_sampling(const fb::SavedSampling& saved) {
  SamplingParams params;
  params.temperature = saved.temperature();
  params.top_k = saved.top_k();
  params.top_p = saved.top_p();
  params.min_p = saved.min_p();
  params.repetition_penalty = saved.repetition_penalty();
  params.frequency_penalty = saved.frequency_penalty();
  params.presence_penalty = saved.presence_penalty();
  params.seed = saved.seed();
  if (saved.logit_bias() == nullptr) return params;
  for (const fb::SavedBias* bias : *saved.logit_bias()) params.logit_bias.push_back({bias->id(), bias->bias()});
  return params;
}

std::unique_ptr<fb::SavedReplyT> saved_reply(const CutReply& cut) {
  auto saved = std::make_unique<fb::SavedReplyT>();
  saved->sampling = saved_sampling(cut.sampling);
  saved->stop_ids = cut.stop_ids;
  saved->recovery_ids = cut.recovery_ids;
  saved->stop = cut.stop;
  saved->continues_text = cut.continues_text;
  saved->generated = cut.generated;
  saved->recovery_tokens = static_cast<uint32_t>(cut.recovery_tokens);
  if (cut.grammar) {
    saved->grammar = std::make_unique<fb::SavedGrammarT>();
    saved->grammar->kind = static_cast<uint8_t>(cut.grammar->kind);
    saved->grammar->text = cut.grammar->text;
  }
  return saved;
}

using Ids = flatbuffers::Vector<int32_t>;

Result<std::vector<int32_t>> restored_ids(const Ids* saved, const char* what, int vocabulary) {
  if (saved == nullptr) return std::vector<int32_t>();
  for (const int32_t id : *saved) {
    if (id < 0 || id >= vocabulary) return invalid("{}: got the token id {}, want 0 to {}", what, id, vocabulary - 1);
  }
  return std::vector<int32_t>(saved->begin(), saved->end());
}

Result<CutReply> restored_reply(const fb::SavedReply& saved, int vocabulary) {
  CutReply cut;
  cut.sampling = restored_sampling(*saved.sampling());
  if (Result<void> checked = check_sampling_params(cut.sampling, vocabulary); !checked) {
    return at("cut reply", std::move(checked).error());
  }
  TRY_ASSIGN(cut.stop_ids, restored_ids(saved.stop_ids(), "cut reply, stop ids", vocabulary));
  TRY_ASSIGN(cut.recovery_ids, restored_ids(saved.recovery_ids(), "cut reply, recovery sequence", vocabulary));
  TRY_ASSIGN(cut.generated, restored_ids(saved.generated(), "cut reply", vocabulary));
  if (saved.stop() != nullptr) {
    for (const auto* text : *saved.stop()) cut.stop.push_back(text->str());
  }
  cut.continues_text = saved.continues_text();
  cut.recovery_tokens = static_cast<int>(saved.recovery_tokens());
  if (const fb::SavedGrammar* grammar = saved.grammar(); grammar != nullptr) {
    if (grammar->kind() > static_cast<uint8_t>(GrammarSpec::Kind::kLark)) {
      return not_supported("cut reply: got a grammar of kind {}, want at most {}", grammar->kind(),
                           static_cast<int>(GrammarSpec::Kind::kLark));
    }
    cut.grammar = {static_cast<GrammarSpec::Kind>(grammar->kind()), std::string(text_of(grammar->text()))};
  }
  return cut;
}

Result<int> adapter_of(const fb::SavedContext& meta, const DeviceInfo& info) {
  if (meta.adapter() == nullptr) return kNoAdapter;
  const std::string_view name = text_of(meta.adapter());
  Result<int> adapter = find_adapter(info, name);
  if (!adapter) return at(fmt::format("saved under adapter '{}'", name), std::move(adapter).error());
  const uint64_t hash = info.adapter_hashes.at(static_cast<size_t>(*adapter));
  if (meta.adapter_hash() == hash) return adapter;
  return not_supported("saved under another adapter '{}': got {:016x}, the model's '{}' is {:016x}", name,
                       meta.adapter_hash(), info.adapters.at(static_cast<size_t>(*adapter)), hash);
}

Result<void> check_model(const fb::SavedContext& meta, const DeviceInfo& info, std::string_view model_name) {
  if (meta.model_hash() != info.model_hash) {
    return not_supported("saved with another model: got '{}' ({:016x}), this is '{}' ({:016x})",
                         text_of(meta.model_name()), meta.model_hash(), model_name, info.model_hash);
  }
  if (meta.page_tokens() != static_cast<uint32_t>(info.page_tokens) || meta.page_bytes() != info.page_bytes) {
    return invalid("got pages of {} tokens in {} bytes, the device has {} in {}", meta.page_tokens(), meta.page_bytes(),
                   info.page_tokens, info.page_bytes);
  }
  if (meta.stored_tokens() <= static_cast<uint32_t>(info.context_tokens)) return {};
  return make_error(ErrorKind::kNoMemory, "got {} stored tokens, the device's contexts have at most {}",
                    meta.stored_tokens(), info.context_tokens);
}

Result<RestoredContext> restore(Device& device, std::string_view model_name, const ContextFile& file) {
  const fb::SavedContext& meta = file.meta();
  const DeviceInfo& info = device.info();
  TRY(check_model(meta, info, model_name));
  TRY_ASSIGN(const int adapter, adapter_of(meta, info));
  TRY_ASSIGN(const std::vector<int32_t> ids, restored_ids(meta.ids(), "ids", info.vocabulary));
  std::optional<CutReply> cut;
  if (meta.cut_reply() != nullptr) {
    TRY_ASSIGN(cut, restored_reply(*meta.cut_reply(), info.vocabulary));
  }
  // From here on only the device's memory can refuse.
  TRY_ASSIGN(Context context, Context::restore(device, adapter, ids, static_cast<int>(meta.stored_tokens()),
                                               [&](int page) { return file.page(page); }));
  return RestoredContext{std::move(context), std::move(cut), std::string(file.host_state())};
}

}  // namespace

Result<void> save_context(const Context& context, const std::optional<CutReply>& cut, const SaveOptions& options,
                          const std::string& path) {
  const DeviceInfo& info = context.device().info();
  fb::SavedContextT meta;
  meta.model_name = options.model_name;
  meta.model_hash = info.model_hash;
  if (context.adapter() != kNoAdapter) {
    meta.adapter = info.adapters.at(static_cast<size_t>(context.adapter()));
    meta.adapter_hash = info.adapter_hashes.at(static_cast<size_t>(context.adapter()));
  }
  meta.ids = context.ids();
  meta.stored_tokens = static_cast<uint32_t>(context.stored_tokens());
  meta.page_tokens = static_cast<uint32_t>(info.page_tokens);
  meta.page_bytes = info.page_bytes;
  if (cut) meta.cut_reply = saved_reply(*cut);
  return write_context_file(path, meta, options.host_state,
                            [&](int page, std::span<std::byte> bytes) { context.read_page(page, bytes); });
}

Result<RestoredContext> load_context(Device& device, std::string_view model_name, const std::string& path) {
  TRY_ASSIGN(const ContextFile file, ContextFile::open(path));
  Result<RestoredContext> restored = restore(device, model_name, file);
  if (!restored) return at(path, std::move(restored).error());
  return restored;
}

Result<RestoredContext> load_context(Device& device, std::string_view model_name, std::span<const std::byte> file,
                                     std::string_view place) {
  TRY_ASSIGN(const ContextFile checked, ContextFile::from_bytes(file, place));
  Result<RestoredContext> restored = restore(device, model_name, checked);
  if (!restored) return at(place, std::move(restored).error());
  return restored;
}

}  // namespace hotaru
