#include "compiler/plan_memory.h"

#include <algorithm>
#include <set>
#include <vector>

#include "compiler/lower_adapters.h"
#include "kernels/attention/attention.h"
#include "kernels/bias_columns.h"
#include "kernels/gated_linear/gated_linear.h"
#include "kernels/low_rank.h"

namespace hotaru {
namespace {

constexpr uint64_t kAlignment = 64;

// Buffers that a call reads and writes; -1: none.
struct Access {
  int read = -1;
  int write = -1;
  bool keeps_content = false;  // what was written before stays of use
  int second_read = -1;
  int second_write = -1;

  [[nodiscard]] bool reads(int id) const { return read == id || second_read == id; }
  [[nodiscard]] bool writes(int id) const { return write == id || second_write == id; }
};

Access access_of(const fb::CallT& call) {
  switch (call.operation.type) {
    case fb::Operation::EmbedCall:
      return {-1, call.operation.AsEmbedCall()->output_buffer};
    case fb::Operation::GatherCall:
      return {call.operation.AsGatherCall()->input_buffer, call.operation.AsGatherCall()->output_buffer};
    case fb::Operation::RmsNormCall:
      return {call.operation.AsRmsNormCall()->input_buffer, call.operation.AsRmsNormCall()->output_buffer};
    case fb::Operation::LinearCall: {
      const fb::LinearCallT& linear = *call.operation.AsLinearCall();
      return {linear.input_buffer, linear.output_buffer, linear.add_to_output};
    }
    case fb::Operation::RopeCall: {
      const fb::RopeCallT& rope = *call.operation.AsRopeCall();
      return {.read = rope.qkv_buffer, .write = rope.query_buffer, .second_write = rope.bias_query_buffer};
    }
    case fb::Operation::AttentionCall: {
      const fb::AttentionCallT& attention = *call.operation.AsAttentionCall();
      return {
          .read = attention.query_buffer, .write = attention.output_buffer, .second_read = attention.bias_query_buffer};
    }
    case fb::Operation::SwiGluCall:
      return {call.operation.AsSwiGluCall()->input_buffer, call.operation.AsSwiGluCall()->output_buffer};
    case fb::Operation::NONE:
      break;
  }
  return {};
}

bool is_shared(const fb::ProgramT& program, int id) {
  return std::ranges::find(program.shared_buffers, id) != program.shared_buffers.end();
}

// live[b][c]: buffer b holds something of use during call c. From a write to the last read before the next write; the
// residual stream and the logits belong to the step, not to a call, and what programs share is of use at the end.
std::vector<std::vector<bool>> liveness(const fb::ProgramT& program) {
  const size_t calls = program.calls.size();
  std::vector<std::vector<bool>> live(program.buffers.size(), std::vector<bool>(calls, false));
  for (size_t b = 0; b < program.buffers.size(); b++) {
    const int id = static_cast<int>(b);
    if (id == program.residual_buffer || id == program.logits_buffer) {
      live[b].assign(calls, true);
      continue;
    }
    bool is_needed = is_shared(program, id);  // by a later call, or program
    for (size_t c = calls; c-- > 0;) {
      const Access access = access_of(*program.calls[c]);
      live[b][c] = is_needed || access.reads(id) || access.writes(id);
      if (access.writes(id) && !access.keeps_content) is_needed = false;
      if (access.reads(id) || (access.writes(id) && access.keeps_content)) is_needed = true;
    }
  }
  // A device may play a swiglu together with the linear before it (kernels/gated_linear/gated_linear.h).
  for (size_t c = 1; c < calls; c++) {
    const fb::SwiGluCallT* swiglu = program.calls[c]->operation.AsSwiGluCall();
    if (swiglu != nullptr) live[static_cast<size_t>(swiglu->output_buffer)][c - 1] = true;
  }
  return live;
}

bool overlap(const std::vector<bool>& a, const std::vector<bool>& b) {
  for (size_t i = 0; i < a.size(); i++) {
    if (a[i] && b[i]) return true;
  }
  return false;
}

uint64_t rounded_up(uint64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
uint64_t bytes_of(const fb::BufferT& buffer) { return rounded_up(buffer.row_bytes * buffer.rows); }

// The lowest offset at which `buffer` overlaps none of the placed ones that live at the same time.
uint64_t first_fit(const fb::ProgramT& program, size_t buffer, const std::vector<size_t>& placed,
                   const std::vector<std::vector<bool>>& live) {
  uint64_t offset = 0;
  for (const size_t other : placed) {  // in order of offset
    const fb::BufferT& neighbour = *program.buffers[other];
    if (!overlap(live[buffer], live[other])) continue;
    if (offset + bytes_of(*program.buffers[buffer]) <= neighbour.offset) continue;
    offset = std::max(offset, neighbour.offset + bytes_of(neighbour));
  }
  return offset;
}

// Returns the arena's bytes. The residual stream first, then what is shared, then from the largest buffer to the
// smallest.
uint64_t place_buffers(fb::ProgramT& program) {
  const auto live = liveness(program);
  std::vector<size_t> order(program.buffers.size());
  for (size_t b = 0; b < order.size(); b++) order[b] = b;
  const auto rank = [&program](size_t b) {
    const int id = static_cast<int>(b);
    if (id == program.residual_buffer) return UINT64_MAX;
    return is_shared(program, id) ? UINT64_MAX - 1 : bytes_of(*program.buffers[b]);
  };
  std::ranges::stable_sort(order, [&](size_t a, size_t b) { return rank(a) > rank(b); });
  std::vector<size_t> placed;
  uint64_t arena = 0;
  for (const size_t b : order) {
    fb::BufferT& buffer = *program.buffers[b];
    buffer.offset = first_fit(program, b, placed, live);
    arena = std::max(arena, buffer.offset + bytes_of(buffer));
    placed.push_back(b);
    std::ranges::stable_sort(placed, {}, [&program](size_t i) { return program.buffers[i]->offset; });
  }
  return arena;
}

uint64_t workspace_bytes(const fb::HefT& meta) {
  uint64_t bytes =
      attention_workspace_bytes(static_cast<int>(meta.kv->context_tokens), static_cast<int>(meta.shape->head_width));
  for (const auto& program : meta.programs) {
    for (const auto& call : program->calls) {
      const fb::LinearCallT* linear = call->operation.AsLinearCall();
      if (linear == nullptr) continue;
      const uint64_t inputs = meta.tensors[static_cast<size_t>(linear->weight)]->shape[1];
      // Whether or not gates are among its outputs: then it is the most that a linear needs.
      bytes = std::max<uint64_t>(
          bytes, gated_linear_workspace_bytes(static_cast<int>(program->max_rows), static_cast<int>(inputs)));
    }
    for (const auto& adapter : meta.adapters) {
      for (const auto& site : adapter->sites) {
        bytes = std::max<uint64_t>(
            bytes, low_rank_workspace_bytes(static_cast<int>(program->max_rows), static_cast<int>(site->down->shape[1]),
                                            static_cast<int>(site->rank)));
      }
    }
  }
  return rounded_up(bytes);
}

// cos and sin, [positions, E / 2] each; and columns for split keys.
uint64_t table_bytes(const fb::HefT& meta) {
  const uint64_t width = meta.shape->head_width;
  const uint64_t prefix = meta.kv->position_offset;
  std::set<int> columns;
  for (const auto& program : meta.programs) {
    for (const auto& call : program->calls) {
      const fb::AttentionCallT* attention = call->operation.AsAttentionCall();
      if (attention != nullptr && attention->key_constants != -1) columns.insert(attention->key_constants);
    }
  }
  const uint64_t of_columns = bias_columns_bytes(meta.kv->pages, width) + prefix * width * sizeof(int16_t);
  return (meta.kv->context_tokens + prefix) * width * sizeof(float) + columns.size() * of_columns;
}

}  // namespace

Result<void> plan_memory(fb::HefT& meta, uint64_t weight_bytes) {
  auto memory = std::make_unique<fb::MemoryPlanT>();
  for (const auto& program : meta.programs) {
    memory->activations = std::max(memory->activations, place_buffers(*program));
  }
  memory->weights = weight_bytes;
  memory->kv = meta.kv->page_bytes * meta.kv->pages;
  memory->adapters = adapter_memory_bytes(meta);
  memory->tables = table_bytes(meta);
  memory->workspace_per_thread = workspace_bytes(meta);
  memory->total = memory->weights + memory->kv + memory->activations + memory->tables + memory->adapters +
                  memory->workspace_per_thread;
  meta.memory = std::move(memory);
  return {};
}

}  // namespace hotaru
