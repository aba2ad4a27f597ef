// HAR -> HEF: lower, write the tensors, plan the memory.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/thread_pool.h"
#include "compiler/lower.h"
#include "compiler/optimised_model.h"
#include "format/container.h"

namespace hotaru {

// Writes the programs of `model` and their tensors; text sections are copied from `text_source` if it is there. Returns
// the memory plan. The same model gives the same bytes.
Result<fb::MemoryPlanT> write_hef(const OptimisedModel& model, int64_t context_tokens, const Container* text_source,
                                  const std::string& path);

struct CompileOptions {
  int64_t context_tokens = 0;  // 0: the smaller of kDefaultContext and the model's positions
};
Result<fb::MemoryPlanT> compile_har(const std::string& har_path, const std::string& hef_path,
                                    const CompileOptions& options, ThreadPool& pool);

}  // namespace hotaru
