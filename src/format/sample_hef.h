// A complete, tiny HEF (one layer, 32 wide) for tests and fuzzers: what a compiler would make, with arbitrary weights.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "format/container_layout.h"
#include "format/hef.h"
#include "format/meta_check.h"

namespace hotaru {

// A container in memory, checksums included.
inline std::vector<std::byte> pack_container(
    FileKind kind, const std::vector<std::pair<SectionType, std::span<const std::byte>>>& sections) {
  std::vector<std::byte> file(kPageBytes);
  for (size_t i = 0; i < sections.size(); i++) {
    const auto& [type, bytes] = sections[i];
    file.resize(round_up(file.size(), kPageBytes));
    std::vector<uint64_t> sums;
    for (size_t done = 0; done < bytes.size(); done += kChecksumChunkBytes) {
      sums.push_back(checksum_of(bytes.subspan(done, std::min(kChecksumChunkBytes, bytes.size() - done))));
    }
    const size_t entry = kTableAt + i * kEntryBytes;
    store_field(std::span(file), entry, static_cast<uint32_t>(type));
    store_field(std::span(file), entry + 8, uint64_t{file.size()});
    store_field(std::span(file), entry + 16, uint64_t{bytes.size()});
    store_field(std::span(file), entry + 24, checksum_of_chunks(sums));
    file.insert(file.end(), bytes.begin(), bytes.end());
  }
  std::memcpy(file.data(), magic_of(kind).data(), kMagicBytes);
  store_field(std::span(file), kMajorAt, kFormatMajor);
  store_field(std::span(file), kMinorAt, kFormatMinor);
  store_field(std::span(file), kHeaderBytesAt, static_cast<uint32_t>(kPageBytes));
  store_field(std::span(file), kSectionCountAt, static_cast<uint32_t>(sections.size()));
  store_field(std::span(file), kFileBytesAt, uint64_t{file.size()});
  const auto covered = std::span<const std::byte>(file).first(kPageBytes - kHeaderChecksumBytes);
  store_field(std::span(file), covered.size(), checksum_of(covered));
  return file;
}

// Damages a good file as fuzzer bytes say: three bytes each, place (u16) and new value.
inline std::vector<std::byte> patched(std::vector<std::byte> good, std::span<const uint8_t> patches) {
  for (; patches.size() >= 3; patches = patches.subspan(3)) {
    const size_t place = size_t{patches[0]} + size_t{patches[1]} * 256;
    good[place % good.size()] = static_cast<std::byte>(patches[2]);
  }
  return good;
}

// Reads every byte, for sanitizers to watch.
inline void touch(std::span<const std::byte> bytes) {
  unsigned sum = 0;
  for (const std::byte byte : bytes) sum += std::to_integer<unsigned>(byte);
  asm volatile("" : : "r"(sum));
}

class SampleHef {
 public:
  static constexpr uint32_t kWidth = 32, kHeads = 2, kKvHeads = 1, kHeadWidth = 16, kFfn = 32, kVocabulary = 40;
  static constexpr uint64_t kSideBytes = uint64_t{kKvHeads} * kHeadWidth * 64;

  SampleHef() {
    meta.shape = std::make_unique<fb::ModelShapeT>();
    meta.shape->layers = 1;
    meta.shape->width = kWidth;
    meta.shape->query_heads = kHeads;
    meta.shape->kv_heads = kKvHeads;
    meta.shape->head_width = kHeadWidth;
    meta.shape->ffn_width = kFfn;
    meta.shape->vocabulary = kVocabulary;
    meta.shape->max_positions = 128;
    meta.generation = std::make_unique<fb::GenerationDefaultsT>();
    meta.generation->eos_ids = {3};
    meta.kv = std::make_unique<fb::KvPlanT>();
    meta.kv->page_bytes = 2 * kSideBytes;
    meta.kv->pages = 2;
    meta.kv->context_tokens = 128;
    const auto body = body_calls();
    meta.programs.push_back(body_program("prefill", 16, body));
    meta.programs.push_back(body_program("tbt", 2, body));
    meta.programs.push_back(head_program());
    plan();
  }

  fb::HefT meta;
  std::vector<std::byte> weights;

  // Id of a new tensor of zeros.
  int add(const std::string& name, fb::Layout layout, std::vector<uint64_t> shape, uint64_t bytes) {
    weights.resize(round_up(weights.size(), kTensorAlignment));
    auto tensor = std::make_unique<fb::TensorT>();
    tensor->name = name;
    tensor->layout = layout;
    tensor->shape = std::move(shape);
    tensor->offset = weights.size();
    tensor->bytes = bytes;
    weights.resize(weights.size() + bytes);
    meta.tensors.push_back(std::move(tensor));
    return static_cast<int>(meta.tensors.size()) - 1;
  }
  // Keys without their bias: the tensors and the buffer that its way needs, in both calls. Plan again afterwards.
  void split_keys() {
    const int terms = floats("bias_terms", 2 * kKvHeads * kHeadWidth);
    const int inverse_scale = floats("bias_inverse_scale", kHeads);
    const int constants = floats("key_constants", 2 * kHeadWidth);
    const int scale = floats("bias_scale", kHeads);
    for (const auto& program : meta.programs) {
      fb::RopeCallT* rope = nullptr;
      for (const auto& call : program->calls) {
        if (call->operation.AsRopeCall() != nullptr) {
          rope = call->operation.AsRopeCall();
          rope->bias_terms = terms;
          rope->bias_inverse_scale = inverse_scale;
          rope->bias_query_buffer = static_cast<int>(program->buffers.size());
          add_buffer(*program, "bias_query", 2 * kHeads * kHeadWidth, program->max_rows);
        }
        fb::AttentionCallT* attention = call->operation.AsAttentionCall();
        if (attention == nullptr) continue;
        attention->key_constants = constants;
        attention->bias_scale = scale;
        attention->bias_query_buffer = rope->bias_query_buffer;
        attention->frequency = rope->frequency;
      }
    }
  }
  // Attention is the head's, of queries that the bodies hand over. Plan again afterwards.
  void play_attention_late() {
    constexpr uint64_t kSharedAt = 16384;
    fb::ProgramT& head = *meta.programs.back();
    const auto at_step_query = static_cast<int>(head.buffers.size());
    add_buffer(head, "step_query", kHeads * kHeadWidth, 16);
    head.buffers.back()->offset = kSharedAt;
    head.shared_buffers = {at_step_query};
    add_buffer(head, "query", kHeads * kHeadWidth, 2);
    add_buffer(head, "attended", kHeads * kHeadWidth, 2);
    fb::AttentionCallT attention;
    for (const auto& program : meta.programs) {
      if (program->name == head.name) continue;
      program->buffers[kQuery]->offset = kSharedAt;
      program->buffers[kQuery]->rows = 16;
      program->shared_buffers = {kQuery};
      const auto call = std::ranges::find(program->calls, "attention", [](const auto& c) { return c->name; });
      attention = *(*call)->operation.AsAttentionCall();
      program->calls.erase(call);
    }
    fb::GatherCallT gather;
    gather.input_buffer = at_step_query;
    gather.output_buffer = attention.query_buffer = at_step_query + 1;
    gather.bits = 8;
    attention.output_buffer = at_step_query + 2;
    std::vector<fb::CallT> calls;
    add_call(calls, "queries", gather);
    add_call(calls, "attention", attention);
    for (const fb::CallT& call : calls) head.calls.push_back(std::make_unique<fb::CallT>(call));
  }
  // The memory plan that follows from weights, KV plan and buffers.
  void plan() {
    meta.memory = std::make_unique<fb::MemoryPlanT>();
    meta.memory->weights = weights.size();
    meta.memory->kv = meta.kv->pages * meta.kv->page_bytes;
    for (const auto& program : meta.programs) {
      for (const auto& buffer : program->buffers) {
        const uint64_t end = buffer->offset + buffer->row_bytes * buffer->rows;
        meta.memory->activations = std::max(meta.memory->activations, end);
      }
    }
    meta.memory->total = meta.memory->weights + meta.memory->kv + meta.memory->activations;
  }
  [[nodiscard]] std::vector<std::byte> pack() const {
    const std::vector<std::byte> packed = pack_meta(meta);
    return pack_container(FileKind::kHef, {{SectionType::kMeta, packed}, {SectionType::kWeights, weights}});
  }

 private:
  enum BodyBuffer { kResidual, kNormed, kQkv, kQuery, kAttended, kGateUp, kFfnCodes };
  enum HeadBuffer { kStepResidual, kRows, kHeadInput, kLogits };

  int floats(const std::string& name, uint64_t count) { return add(name, fb::Layout::F32, {count}, count * 4); }
  int integers(const std::string& name, uint64_t count) { return add(name, fb::Layout::I32, {count}, count * 4); }

  static void add_buffer(fb::ProgramT& program, const char* name, uint64_t row_bytes, uint32_t rows) {
    auto buffer = std::make_unique<fb::BufferT>();
    buffer->name = name;
    buffer->row_bytes = row_bytes;
    buffer->rows = rows;
    if (!program.buffers.empty()) {
      const fb::BufferT& last = *program.buffers.back();
      buffer->offset = round_up(last.offset + last.row_bytes * last.rows, kTensorAlignment);
    }
    program.buffers.push_back(std::move(buffer));
  }
  template <typename Operation>
  static void add_call(std::vector<fb::CallT>& calls, const char* name, Operation operation) {
    fb::CallT call;
    call.name = name;
    call.operation.Set(std::move(operation));
    calls.push_back(std::move(call));
  }

  fb::RmsNormCallT norm(int from, int to) {
    fb::RmsNormCallT call;
    call.input_buffer = from;
    call.output_buffer = to;
    call.gamma = floats("gamma", kWidth);
    call.epsilon = 1e-6F;
    call.inverse_scale = 10.0F;
    return call;
  }
  fb::LinearCallT linear(const std::string& name, uint64_t outputs, int from, int to) {
    fb::LinearCallT call;
    const bool is_head = to == kLogits && outputs == kVocabulary;
    const fb::Layout layout = is_head ? fb::Layout::PackedInt8 : fb::Layout::PackedInt4;
    const uint64_t bytes = is_head ? packed_int8_size(outputs, kWidth) : packed_int4_size(outputs, kWidth);
    call.weight = add(name, layout, {outputs, kWidth}, bytes);
    call.offset = integers(name + ".offset", outputs);
    call.scale = floats(name + ".scale", outputs);
    call.input_buffer = from;
    call.output_buffer = to;
    call.add_to_output = to == kResidual;
    call.site = name;
    return call;
  }
  fb::RopeCallT rope() {
    fb::RopeCallT call;
    call.qkv_buffer = kQkv;
    call.query_buffer = kQuery;
    call.frequency = add("frequency", fb::Layout::F64, {kHeadWidth / 2}, kHeadWidth / 2 * 8);
    call.query_inverse_scale = floats("query_inverse_scale", kHeads);
    call.key_inverse_scale = floats("key_inverse_scale", kKvHeads);
    call.key_zero_point = floats("key_zero_point", kKvHeads);
    call.value_inverse_scale = floats("value_inverse_scale", kKvHeads);
    call.value_zero_point = floats("value_zero_point", kKvHeads);
    call.value_offset = kSideBytes;
    return call;
  }
  fb::AttentionCallT attention() {
    fb::AttentionCallT call;
    call.query_buffer = kQuery;
    call.output_buffer = kAttended;
    call.score_scale = floats("score_scale", kHeads);
    call.value_scale = floats("value_scale", kKvHeads);
    call.value_zero_point = integers("value_zero_point", kKvHeads);
    call.output_inverse_scale = 10.0F;
    call.value_offset = kSideBytes;
    return call;
  }

  std::vector<fb::CallT> body_calls() {
    std::vector<fb::CallT> calls;
    fb::EmbedCallT embed;
    embed.table =
        add("embedding", fb::Layout::PackedInt8, {kVocabulary, kWidth}, packed_int8_size(kVocabulary, kWidth));
    embed.scale = floats("embedding.scale", kVocabulary);
    embed.output_buffer = kResidual;
    fb::SwiGluCallT swiglu;
    swiglu.input_buffer = kGateUp;
    swiglu.output_buffer = kFfnCodes;
    swiglu.inverse_scale = 10.0F;
    add_call(calls, "embed", embed);
    add_call(calls, "norm1", norm(kResidual, kNormed));
    add_call(calls, "qkv", linear("qkv", (kHeads + 2 * kKvHeads) * kHeadWidth, kNormed, kQkv));
    add_call(calls, "rope", rope());
    add_call(calls, "attention", attention());
    add_call(calls, "o", linear("o", kWidth, kAttended, kResidual));
    add_call(calls, "norm2", norm(kResidual, kNormed));
    add_call(calls, "gate_up", linear("gate_up", 2 * kFfn, kNormed, kGateUp));
    add_call(calls, "swiglu", swiglu);
    add_call(calls, "down", linear("down", kWidth, kFfnCodes, kResidual));
    return calls;
  }
  static std::unique_ptr<fb::ProgramT> body_program(const char* name, uint32_t rows,
                                                    const std::vector<fb::CallT>& calls) {
    auto program = std::make_unique<fb::ProgramT>();
    program->name = name;
    program->max_rows = rows;
    program->residual_buffer = kResidual;
    add_buffer(*program, "residual", kWidth * 4, rows);
    add_buffer(*program, "normed", kWidth, rows);
    add_buffer(*program, "qkv", (kHeads + 2 * kKvHeads) * kHeadWidth * 4, rows);
    add_buffer(*program, "query", kHeads * kHeadWidth, rows);
    add_buffer(*program, "attended", kHeads * kHeadWidth, rows);
    add_buffer(*program, "gate_up", 2 * kFfn * 4, rows);
    add_buffer(*program, "ffn", kFfn, rows);
    for (const fb::CallT& call : calls) program->calls.push_back(std::make_unique<fb::CallT>(call));
    return program;
  }
  std::unique_ptr<fb::ProgramT> head_program() {
    auto program = std::make_unique<fb::ProgramT>();
    program->name = "head";
    program->max_rows = 2;
    program->residual_buffer = kStepResidual;
    program->logits_buffer = kLogits;
    add_buffer(*program, "residual", kWidth * 4, 16);
    add_buffer(*program, "rows", kWidth * 4, 2);
    add_buffer(*program, "normed", kWidth, 2);
    add_buffer(*program, "logits", kVocabulary * 4, 2);
    std::vector<fb::CallT> calls;
    fb::GatherCallT gather;
    gather.input_buffer = kStepResidual;
    gather.output_buffer = kRows;
    add_call(calls, "rows", gather);
    add_call(calls, "final_norm", norm(kRows, kHeadInput));
    add_call(calls, "head", linear("head", kVocabulary, kHeadInput, kLogits));
    for (const fb::CallT& call : calls) program->calls.push_back(std::make_unique<fb::CallT>(call));
    return program;
  }
};

}  // namespace hotaru
