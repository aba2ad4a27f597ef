#include "format/program_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "format/sample_hef.h"

namespace hotaru {
namespace {

using ::testing::HasSubstr;

// Applies `change` to the operation of call `name` in every program that has it; what opening the file then says.
template <typename Operation>
std::string refusal(const std::string& name, const std::function<void(Operation&)>& change) {
  SampleHef sample;
  int changed = 0;
  for (const auto& program : sample.meta.programs) {
    for (const auto& call : program->calls) {
      if (call->name != name) continue;
      change(*static_cast<Operation*>(call->operation.value));
      changed++;
    }
  }
  EXPECT_GT(changed, 0) << name;
  const auto file = sample.pack();
  const auto hef = HefFile::from_bytes(file, "m.hef");
  return hef ? "accepted" : hef.error().message;
}

std::string program_refusal(const std::function<void(SampleHef&)>& change) {
  SampleHef sample;
  change(sample);
  const auto file = sample.pack();
  const auto hef = HefFile::from_bytes(file, "m.hef");
  return hef ? "accepted" : hef.error().message;
}

TEST(ProgramCheck, NamesProgramCallAndField) {
  EXPECT_EQ(refusal<fb::LinearCallT>("o", [](auto& c) { c.output_buffer = 2; }),
            "m.hef: program 'prefill': call 'o': output_buffer: buffer 'qkv' has 256 bytes a row, want 128");
}

TEST(ProgramCheck, LinearTensorsFitTheirWeight) {
  using Call = fb::LinearCallT;
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.weight = -1; }), HasSubstr("weight: got tensor -1 of"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.weight = 1000; }), HasSubstr("weight: got tensor 1000 of"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.weight = c.scale; }), HasSubstr("is F32, want a packed matrix"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.offset = -1; }), HasSubstr("offset: got tensor -1"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.offset = c.scale; }), HasSubstr("is F32, want I32"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.scale = 1; }),
              HasSubstr("scale: tensor 'embedding.scale' has 40 values, want 64"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.bias = 0; }), HasSubstr("bias: tensor 'embedding'"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.bias = -2; }), HasSubstr("bias: got tensor -2"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.input_buffer = 0; }), HasSubstr("want 32"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.input_bits = 16; }),
              HasSubstr("offset: tensor 'qkv.offset' has 64 values, want 128"));
  EXPECT_THAT(refusal<Call>("head", [](auto& c) { c.input_bits = 16; }), HasSubstr("for an 8-bit matrix"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.input_bits = 7; }), HasSubstr("want 8 or 16"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.output_buffer = 99; }), HasSubstr("got buffer 99 of 7"));
  EXPECT_THAT(refusal<Call>("qkv", [](auto& c) { c.input_scale = INFINITY; }), HasSubstr("input_scale"));
}

TEST(ProgramCheck, PrefixTokensHaveTheirConstants) {
  using Call = fb::AttentionCallT;
  EXPECT_THAT(refusal<Call>("attention", [](auto& c) { c.prefix_key = 0; }), HasSubstr("no prefix tokens"));
  const auto add = [](SampleHef& s, std::vector<int32_t> ids, uint32_t offset) {
    s.meta.prefix = std::move(ids);
    s.meta.kv->position_offset = offset;
  };
  EXPECT_THAT(program_refusal([&](SampleHef& s) { add(s, {1}, 2); }), HasSubstr("got 1 prefix tokens"));
  EXPECT_THAT(program_refusal([&](SampleHef& s) { add(s, std::vector<int32_t>(17), 17); }), HasSubstr("at most 16"));
  EXPECT_THAT(program_refusal([&](SampleHef& s) { add(s, {40}, 1); }), HasSubstr("token id 40"));
  EXPECT_THAT(program_refusal([&](SampleHef& s) { add(s, {3}, 1); }), HasSubstr("prefix_key: got tensor -1"));
  EXPECT_EQ(program_refusal([&](SampleHef& s) {
              add(s, {3}, 1);
              const int constants = s.add("constants", fb::Layout::I16, {1, 1, 16}, 32);
              const int scale = s.add("scale", fb::Layout::F32, {2}, 8);
              const int value_scale = s.add("value_scale", fb::Layout::F32, {1}, 4);
              for (const auto& program : s.meta.programs) {
                for (const auto& call : program->calls) {
                  fb::AttentionCallT* attention = call->operation.AsAttentionCall();
                  if (attention == nullptr) continue;
                  attention->prefix_key = attention->prefix_value = constants;
                  attention->prefix_score_scale = scale;
                  attention->prefix_value_scale = value_scale;
                }
              }
              s.plan();
            }),
            "accepted");
}

// The sample with split keys, then changed.
std::string split_refusal(const std::function<void(fb::RopeCallT&, fb::AttentionCallT&)>& change) {
  return program_refusal([&](SampleHef& s) {
    s.split_keys();
    for (const auto& program : s.meta.programs) {
      fb::RopeCallT* rope = nullptr;
      for (const auto& call : program->calls) {
        if (call->operation.AsRopeCall() != nullptr) rope = call->operation.AsRopeCall();
        if (call->operation.AsAttentionCall() != nullptr) change(*rope, *call->operation.AsAttentionCall());
      }
    }
    s.plan();
  });
}

TEST(ProgramCheck, SplitKeysHaveAllTheirParts) {
  EXPECT_EQ(split_refusal([](auto&, auto&) {}), "accepted");
  EXPECT_THAT(split_refusal([](auto& r, auto&) { r.bias_query_buffer = -1; }), HasSubstr("got buffer -1 of 8"));
  EXPECT_THAT(split_refusal([](auto& r, auto&) { r.bias_query_buffer = 3; }), HasSubstr("want 64"));
  EXPECT_THAT(split_refusal([](auto& r, auto&) { r.bias_terms = -1; }), HasSubstr("bias_terms: got tensor -1"));
  EXPECT_THAT(split_refusal([](auto& r, auto&) { r.bias_terms = r.bias_inverse_scale; }), HasSubstr("want 32"));
  EXPECT_THAT(split_refusal([](auto& r, auto&) { r.bias_inverse_scale = 1 << 30; }), HasSubstr("bias_inverse_scale"));
  EXPECT_THAT(split_refusal([](auto&, auto& a) { a.bias_query_buffer = -1; }), HasSubstr("got buffer -1 of 8"));
  EXPECT_THAT(split_refusal([](auto&, auto& a) { a.bias_query_buffer = 99; }), HasSubstr("got buffer 99 of 8"));
  EXPECT_THAT(split_refusal([](auto&, auto& a) { a.key_constants = -1; }), HasSubstr("key_constants: got tensor -1"));
  EXPECT_THAT(split_refusal([](auto&, auto& a) { a.key_constants = a.bias_scale; }), HasSubstr("want 32"));
  EXPECT_THAT(split_refusal([](auto&, auto& a) { a.bias_scale = a.key_constants; }),
              HasSubstr("has 32 values, want 2"));
  EXPECT_THAT(split_refusal([](auto&, auto& a) { a.frequency = a.bias_scale; }), HasSubstr("is F32, want F64"));
  EXPECT_THAT(split_refusal([](auto&, auto& a) { a.frequency = -7; }), HasSubstr("frequency: got tensor -7"));
  EXPECT_THAT(split_refusal([](auto&, auto& a) { a.attention_factor = NAN; }), HasSubstr("attention_factor"));
}

TEST(ProgramCheck, SumsCannotOverflow) {
  EXPECT_THAT(program_refusal([](SampleHef& s) {
                const int32_t huge = INT32_MIN;
                for (const auto& tensor : s.meta.tensors) {
                  if (tensor->name == "down.offset") std::memcpy(s.weights.data() + tensor->offset + 8, &huge, 4);
                }
              }),
              HasSubstr("'down.offset' value 2 is -2147483648: the 32-bit sum could overflow"));
}

TEST(ProgramCheck, RopeAndAttentionStayInsideTheirPage) {
  using Rope = fb::RopeCallT;
  using Attention = fb::AttentionCallT;
  EXPECT_THAT(refusal<Rope>("rope", [](auto& c) { c.key_offset = 2048; }),
              HasSubstr("key_offset: 1024 bytes from 2048"));
  EXPECT_THAT(refusal<Rope>("rope", [](auto& c) { c.value_offset = UINT64_MAX - 63; }), HasSubstr("value_offset"));
  EXPECT_THAT(refusal<Rope>("rope", [](auto& c) { c.value_offset = 32; }), HasSubstr("value_offset"));
  EXPECT_THAT(refusal<Attention>("attention", [](auto& c) { c.key_offset = 1088; }), HasSubstr("key_offset"));
  EXPECT_THAT(refusal<Rope>("rope", [](auto& c) { c.frequency = 0; }), HasSubstr("want F64"));
  EXPECT_THAT(refusal<Rope>("rope", [](auto& c) { c.key_shift = c.query_inverse_scale; }), HasSubstr("want 16"));
  EXPECT_THAT(refusal<Rope>("rope", [](auto& c) { c.epsilon = -1; }), HasSubstr("epsilon"));
  EXPECT_THAT(refusal<Rope>("rope", [](auto& c) { c.qkv_buffer = c.query_buffer; }), HasSubstr("want 256"));
  EXPECT_THAT(refusal<Attention>("attention", [](auto& c) { c.value_zero_point = c.value_scale; }),
              HasSubstr("want I32"));
  EXPECT_THAT(refusal<Attention>("attention", [](auto& c) { c.output_bits = 4; }), HasSubstr("output_bits"));
}

TEST(ProgramCheck, ValueZeroPointsAreCodes) {
  EXPECT_THAT(program_refusal([](SampleHef& s) {
                const int32_t large = 200;
                for (const auto& tensor : s.meta.tensors) {
                  if (tensor->name == "value_zero_point" && tensor->layout == fb::Layout::I32) {
                    std::memcpy(s.weights.data() + tensor->offset, &large, 4);
                  }
                }
              }),
              HasSubstr("value_zero_point: got 200"));
}

TEST(ProgramCheck, RowWiseOpsFitTheirBuffers) {
  EXPECT_THAT(refusal<fb::RmsNormCallT>("norm1", [](auto& c) { c.input_buffer = 5; }), HasSubstr("gamma"));
  EXPECT_THAT(refusal<fb::RmsNormCallT>("norm1", [](auto& c) { c.output_buffer = 0; }), HasSubstr("want 32"));
  EXPECT_THAT(refusal<fb::RmsNormCallT>("norm1", [](auto& c) { c.inverse_scale = NAN; }), HasSubstr("inverse_scale"));
  EXPECT_THAT(refusal<fb::SwiGluCallT>("swiglu", [](auto& c) { c.input_buffer = 0; }), HasSubstr("want 16"));
  EXPECT_THAT(refusal<fb::SwiGluCallT>("swiglu", [](auto& c) { c.input_buffer = -1; }), HasSubstr("got buffer -1"));
  EXPECT_THAT(refusal<fb::EmbedCallT>("embed", [](auto& c) { c.table++; }), HasSubstr("want an 8-bit matrix"));
  EXPECT_THAT(refusal<fb::EmbedCallT>("embed", [](auto& c) { c.output_buffer = 1; }), HasSubstr("want 128"));
}

TEST(ProgramCheck, StepsHandOverThroughTheResidualStream) {
  const auto buffer = [](size_t program, size_t id, const std::function<void(fb::BufferT&)>& change) {
    return program_refusal([&](SampleHef& s) { change(*s.meta.programs[program]->buffers[id]); });
  };
  EXPECT_THAT(refusal<fb::GatherCallT>("rows", [](auto& c) { c.input_buffer = 1; }),
              HasSubstr("want the residual stream"));
  EXPECT_THAT(buffer(2, 0, [](auto& b) { b.rows = 15; }), HasSubstr("room for 16 rows"));
  EXPECT_THAT(buffer(2, 0, [](auto& b) { b.offset = 64; }), HasSubstr("starts at 64 of the arena"));
  EXPECT_THAT(buffer(2, 3, [](auto& b) { b.row_bytes = 159; }), HasSubstr("logits_buffer"));
  EXPECT_THAT(program_refusal([](SampleHef& s) { s.meta.programs[2]->logits_buffer = -1; }),
              HasSubstr("logits_buffer"));
  EXPECT_THAT(program_refusal([](SampleHef& s) { s.meta.programs[0]->residual_buffer = 9; }),
              HasSubstr("residual_buffer"));
}

// The sample with its attention in the head, then changed.
std::string late_refusal(const std::function<void(fb::ProgramT& prefill, fb::ProgramT& head)>& change) {
  return program_refusal([&](SampleHef& s) {
    s.play_attention_late();
    change(*s.meta.programs[0], *s.meta.programs[2]);
    s.plan();
  });
}

TEST(ProgramCheck, SharedBuffersAreTheSameInAllPrograms) {
  const auto gather = [](fb::ProgramT& head) { return head.calls[head.calls.size() - 2]->operation.AsGatherCall(); };
  EXPECT_EQ(late_refusal([](auto&, auto&) {}), "accepted");
  EXPECT_EQ(late_refusal([&](auto&, auto& head) { gather(head)->bits = 16; }), "accepted");
  EXPECT_THAT(late_refusal([&](auto&, auto& head) { gather(head)->bits = 12; }), HasSubstr("bits: got 12"));
  EXPECT_THAT(late_refusal([&](auto&, auto& head) { gather(head)->input_buffer++; }), HasSubstr("or a shared buffer"));
  EXPECT_THAT(late_refusal([&](auto&, auto& head) { gather(head)->output_buffer = 1; }),
              HasSubstr("buffer 'rows' has 128 bytes a row, want 32"));
  EXPECT_THAT(late_refusal([](auto& prefill, auto&) { prefill.shared_buffers.clear(); }),
              HasSubstr("program 'tbt': got 1 shared buffers, want 0 as in program 'prefill'"));
  EXPECT_THAT(late_refusal([](auto& prefill, auto&) { prefill.shared_buffers = {7}; }),
              HasSubstr("shared_buffers: got buffer 7 of 7"));
  EXPECT_THAT(late_refusal([](auto& prefill, auto&) { prefill.shared_buffers = {-1}; }),
              HasSubstr("shared_buffers: got buffer -1 of 7"));
  EXPECT_THAT(late_refusal([](auto& prefill, auto&) { prefill.buffers[3]->rows = 17; }),
              HasSubstr("has 16 rows of 32 bytes, another program's 17 of 32"));
  EXPECT_THAT(late_refusal([](auto& prefill, auto&) { prefill.buffers[3]->offset += 64; }),
              HasSubstr("buffer 'query' starts at 16384 of the arena, another program's at 16448"));
}

// Steps give ids to body programs, rows to the head: a call of the other kind would read null.
TEST(ProgramCheck, CallsBelongToTheirKindOfProgram) {
  const auto moved = [](size_t from, size_t to, size_t call) {
    return program_refusal([&](SampleHef& s) {
      s.meta.programs[to]->calls.push_back(std::make_unique<fb::CallT>(*s.meta.programs[from]->calls[call]));
    });
  };
  EXPECT_THAT(moved(0, 2, 0), HasSubstr("an output program has no token ids"));
  EXPECT_THAT(moved(0, 2, 3), HasSubstr("an output program stores no keys and values"));
  EXPECT_THAT(moved(2, 0, 0), HasSubstr("only an output program"));
}

TEST(ProgramCheck, BuffersStayInsideTheArena) {
  const auto with = [](const std::function<void(fb::BufferT&)>& change) {
    return program_refusal([&](SampleHef& s) { change(*s.meta.programs[0]->buffers[6]); });
  };
  EXPECT_THAT(with([](auto& b) { b.rows = 15; }), HasSubstr("buffer 'ffn': got 15 rows, want at least 16"));
  EXPECT_THAT(with([](auto& b) { b.offset += 64; }), HasSubstr("outside the arena"));
  EXPECT_THAT(with([](auto& b) { b.offset = UINT64_MAX - 63; }), HasSubstr("outside the arena"));
  EXPECT_THAT(with([](auto& b) { b.offset += 1; }), HasSubstr("multiple of 64"));
  EXPECT_THAT(with([](auto& b) { b.row_bytes = 0; }), HasSubstr("bytes together"));
  EXPECT_THAT(with([](auto& b) { b.row_bytes = uint64_t{1} << 62; }), HasSubstr("bytes together"));
}

TEST(ProgramCheck, ProgramsAreWellFormed) {
  EXPECT_THAT(program_refusal([](SampleHef& s) { s.meta.programs.clear(); }), HasSubstr("got 0 programs"));
  EXPECT_THAT(program_refusal([](SampleHef& s) { s.meta.programs[1]->name = "prefill"; }), HasSubstr("used twice"));
  EXPECT_THAT(program_refusal([](SampleHef& s) { s.meta.programs[1]->name = ""; }), HasSubstr("no name"));
  EXPECT_THAT(program_refusal([](SampleHef& s) { s.meta.programs[0]->max_rows = 0; }), HasSubstr("max_rows: got 0"));
  EXPECT_THAT(program_refusal([](SampleHef& s) { s.meta.programs[0]->calls[0]->operation.Reset(); }),
              HasSubstr("its operation is missing"));
}

}  // namespace
}  // namespace hotaru
