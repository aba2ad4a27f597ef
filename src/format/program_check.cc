#include "format/program_check.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <set>

#include "format/call_check.h"
#include "format/meta_check.h"

namespace hotaru {
namespace {

constexpr std::string_view kOutputProgram = "head";
constexpr uint32_t kMaxPrograms = 64;
constexpr uint32_t kMaxCalls = 1'000'000;
constexpr uint32_t kMaxRows = 65536;
constexpr int kMaxMultiplier = 15;
constexpr uint64_t kBitsAboveMultipliers = 0xF0F0F0F0F0F0F0F0;  // of eight, a byte each
static_assert(kMaxMultiplier == 0x0F);

Result<void> check_buffer(const fb::Buffer& buffer, uint32_t max_rows, uint64_t arena_bytes) {
  uint64_t bytes = 0;
  uint64_t end = 0;
  if (buffer.rows() < max_rows) return invalid("got {} rows, want at least {}", buffer.rows(), max_rows);
  if (buffer.row_bytes() == 0 || __builtin_mul_overflow(buffer.row_bytes(), uint64_t{buffer.rows()}, &bytes) ||
      bytes > kMaxBufferBytes) {
    return invalid("{} rows of {} bytes, want 1 to {} bytes together", buffer.rows(), buffer.row_bytes(),
                   kMaxBufferBytes);
  }
  if (buffer.offset() % kTensorAlignment != 0) return invalid("offset {} is not a multiple of 64", buffer.offset());
  if (__builtin_add_overflow(buffer.offset(), bytes, &end) || end > arena_bytes) {
    return invalid("{} bytes from {} lie outside the arena of {}", bytes, buffer.offset(), arena_bytes);
  }
  return {};
}

// Where programs hand over to each other: body programs leave the residual stream and what else is shared, `head` turns
// rows of it into logits.
Result<void> check_interface(const ProgramScope& scope) {
  const fb::ModelShape& shape = *scope.meta->shape();
  const uint64_t residual_bytes = uint64_t{shape.width()} * sizeof(float);
  TRY(find_buffer(scope, "residual_buffer", scope.program->residual_buffer(), residual_bytes));
  for (const int id : handed_over(*scope.program)) TRY(find_buffer(scope, "shared_buffers", id));
  if (!scope.is_output) return {};
  const uint64_t logit_bytes = uint64_t{shape.vocabulary()} * sizeof(float);
  TRY(find_buffer(scope, "logits_buffer", scope.program->logits_buffer(), logit_bytes));
  return {};
}

Result<void> check_program(const ProgramScope& scope) {
  const fb::Program& program = *scope.program;
  if (program.max_rows() == 0 || program.max_rows() > kMaxRows) {
    return invalid("max_rows: got {}, want 1 to {}", program.max_rows(), kMaxRows);
  }
  if (program.buffers() == nullptr || program.calls() == nullptr) return invalid("its buffers or calls are missing");
  if (program.calls()->size() > kMaxCalls)
    return invalid("got {} calls, want at most {}", program.calls()->size(), kMaxCalls);
  for (const fb::Buffer* buffer : *program.buffers()) {
    auto checked = check_buffer(*buffer, program.max_rows(), scope.meta->memory()->activations());
    if (!checked) return at(fmt::format("buffer '{}'", text_of(buffer->name())), std::move(checked).error());
  }
  TRY(check_interface(scope));
  for (const fb::Call* call : *program.calls()) {
    auto checked = check_call(scope, *call);
    if (!checked) return at(fmt::format("call '{}'", text_of(call->name())), std::move(checked).error());
  }
  return {};
}

// All programs keep what is handed over at one place of the arena. Of shared buffers the rows are the same, too: they
// decide where a second plane begins.
Result<void> check_same_places(const fb::Hef& meta) {
  const auto find = [](const fb::Program& program, int id) {
    return program.buffers()->Get(static_cast<unsigned>(id));
  };
  const fb::Program& first = *meta.programs()->Get(0);
  const std::vector<int> wanted = handed_over(first);
  for (const fb::Program* program : *meta.programs()) {
    const std::vector<int> ids = handed_over(*program);
    const std::string_view name = text_of(program->name());
    if (ids.size() != wanted.size()) {
      return invalid("program '{}': got {} shared buffers, want {} as in program '{}'", name, ids.size() - 1,
                     wanted.size() - 1, text_of(first.name()));
    }
    for (size_t i = 0; i < ids.size(); i++) {
      const fb::Buffer& buffer = *find(*program, ids[i]);
      const fb::Buffer& other = *find(first, wanted[i]);
      if (buffer.offset() != other.offset()) {
        return invalid("program '{}': buffer '{}' starts at {} of the arena, another program's at {}", name,
                       text_of(buffer.name()), buffer.offset(), other.offset());
      }
      if (i > 0 && (buffer.row_bytes() != other.row_bytes() || buffer.rows() != other.rows())) {
        return invalid("program '{}': buffer '{}' has {} rows of {} bytes, another program's {} of {}", name,
                       text_of(buffer.name()), buffer.rows(), buffer.row_bytes(), other.rows(), other.row_bytes());
      }
    }
  }
  return {};
}

}  // namespace

Result<void> check_programs(const fb::Hef& meta, std::span<const std::byte> weights) {
  if (meta.programs() == nullptr || meta.programs()->size() == 0 || meta.programs()->size() > kMaxPrograms) {
    return invalid("got {} programs, want 1 to {}", meta.programs() == nullptr ? 0U : meta.programs()->size(),
                   kMaxPrograms);
  }
  std::set<std::string_view> names;
  uint32_t step_rows = 0;
  for (const fb::Program* program : *meta.programs()) {
    const std::string_view name = text_of(program->name());
    if (name.empty() || !names.insert(name).second) return invalid("program '{}': no name, or one used twice", name);
    if (name != kOutputProgram) step_rows = std::max(step_rows, program->max_rows());
  }
  for (const fb::Program* program : *meta.programs()) {
    const std::string_view name = text_of(program->name());
    auto checked = check_program({&meta, program, weights, step_rows, name == kOutputProgram});
    if (!checked) return at(fmt::format("program '{}'", name), std::move(checked).error());
  }
  return check_same_places(meta);
}

Result<void> check_multipliers(const fb::Hef& meta, std::span<const std::byte> weights, ThreadPool* pool) {
  constexpr size_t kGroup = packed_int4_size(1, 32);
  constexpr size_t kCodes = kGroup - 16;
  std::atomic<int> damaged{-1};  // which tensor
  const std::function<void(Slice)> job = [&](Slice slice) {
    for (unsigned id = 0; id < meta.tensors()->size(); id++) {
      const fb::Tensor& tensor = *meta.tensors()->Get(id);
      if (tensor.layout() != fb::Layout::PackedInt4) continue;
      const Slice::Range groups = slice.range(tensor.bytes() / kGroup);
      std::array<uint64_t, 2> bits = {};
      for (size_t group = groups.begin; group < groups.end; group++) {
        std::array<uint64_t, 2> multipliers;
        std::memcpy(&multipliers, weights.data() + tensor.offset() + group * kGroup + kCodes, sizeof multipliers);
        bits[0] |= multipliers[0];
        bits[1] |= multipliers[1];
      }
      if (((bits[0] | bits[1]) & kBitsAboveMultipliers) != 0) damaged.store(static_cast<int>(id));
    }
  };
  if (pool != nullptr) {
    pool->run(job);
  } else {
    job(Slice{});
  }
  const int id = damaged.load();
  if (id < 0) return {};
  return invalid("tensor '{}': a group multiplier is above {}",
                 text_of(meta.tensors()->Get(static_cast<unsigned>(id))->name()), kMaxMultiplier);
}

}  // namespace hotaru
