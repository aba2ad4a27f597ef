#include "compiler/compile.h"

#include "base/log.h"
#include "compiler/har_model.h"
#include "compiler/lower_adapters.h"
#include "compiler/plan_memory.h"
#include "compiler/text_sections.h"
#include "format/container_writer.h"
#include "format/hef.h"

namespace hotaru {
namespace {

Result<void> write_tensors(const LoweredModel& lowered, const OptimisedModel& model, TensorSection& section) {
  Progress progress("write", lowered.tensors.size(), "tensors");
  for (const LoweredTensor& tensor : lowered.tensors) {
    TRY(section.begin(tensor.header));
    TRY(section.append(tensor.bytes));
    for (const int part : tensor.stored) TRY(section.append(model.bytes(part)));
    progress.advance();
  }
  return {};
}

}  // namespace

Result<fb::MemoryPlanT> write_hef(const OptimisedModel& model, int64_t context_tokens, const Container* text_source,
                                  const std::string& path) {
  TRY_ASSIGN(LoweredModel lowered, lower(model, context_tokens));
  TRY(lower_adapters(model, lowered.meta));
  TRY_ASSIGN(ContainerWriter writer, ContainerWriter::create(path, FileKind::kHef));
  TRY(writer.begin_section(SectionType::kWeights));
  TensorSection section(&writer);
  TRY(write_tensors(lowered, model, section));
  const uint64_t weight_bytes = writer.section_position();
  TRY(writer.end_section());
  lowered.meta.tensors = section.take();
  TRY(plan_memory(lowered.meta, weight_bytes));
  if (text_source != nullptr) TRY(copy_text_sections(*text_source, writer));
  for (size_t i = 0; i < model.adapters.size(); i++) {
    TRY(writer.add_section(SectionType::kAdapter, static_cast<uint32_t>(i), model.adapters[i].bytes));
  }
  TRY(writer.add_section(SectionType::kMeta, 0, pack_meta(lowered.meta)));
  TRY(writer.finish());
  return *lowered.meta.memory;
}

Result<fb::MemoryPlanT> compile_har(const std::string& har_path, const std::string& hef_path,
                                    const CompileOptions& options, ThreadPool& pool) {
  TRY_ASSIGN(const HarFile har, HarFile::open(har_path, {&pool}));
  TRY_ASSIGN(const OptimisedModel model, load_model(har));
  auto plan = write_hef(model, options.context_tokens, &har.container(), hef_path);
  if (!plan) return at(har_path, std::move(plan).error());
  return plan;
}

}  // namespace hotaru
