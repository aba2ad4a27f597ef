// Other programs than this compiler makes have the same bits on every ISA: the last block of layers in the bodies, as
// files were before decision 0019; products that two calls read, so that a device must not keep them in an order of its
// own.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <vector>

#include "compiler/plan_memory.h"
#include "compiler/synthetic.h"
#include "device/device.h"
#include "format/container_writer.h"
#include "format/hef.h"

namespace hotaru {
namespace {

constexpr const char* kConfig = R"({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 64,
  "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
  "vocab_size": 50, "max_position_embeddings": 200, "tie_word_embeddings": true})";

class ProgramForms : public testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(folder_);
    std::ofstream(path("toy.json")) << kConfig;
    ASSERT_TRUE(write_synthetic_hef(path("toy.json"), {}, path("late.hef")).ok());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }

  // late.hef with other programs.
  template <typename Edit>
  void write_other(const char* name, Edit edit) const {
    const auto late = HefFile::open(path("late.hef"));
    ASSERT_TRUE(late) << late.error().message;
    fb::HefT meta;
    late->meta().UnPackTo(&meta);
    edit(meta);
    ASSERT_TRUE(plan_memory(meta, late->weight_bytes()));
    const std::vector<std::byte> packed = pack_meta(meta);
    auto writer = ContainerWriter::create(path(name), FileKind::kHef);
    ASSERT_TRUE(writer);
    for (const Section& section : late->container().sections()) {
      const auto bytes = *late->container().section(section.type, section.index);
      const bool is_meta = section.type == SectionType::kMeta;
      ASSERT_TRUE(writer->add_section(section.type, section.index, is_meta ? std::span(packed) : bytes));
    }
    ASSERT_TRUE(writer->finish());
  }

  // Steps of `chunk` rows of two contexts, a page and more of each; after every step logits of some of its rows, in two
  // calls, out of order and one of them twice, and what the output layer sees of them.
  [[nodiscard]] std::vector<float> play(const char* hef, Isa isa, int chunk) const {
    constexpr int kTokens = 90;
    DeviceOptions options;
    options.threads = 2;
    options.isa = isa;
    auto device = Device::open(path(hef), options);
    EXPECT_TRUE(device) << device.error().message;
    const int contexts[] = {*(*device)->create_context(), *(*device)->create_context()};
    std::vector<StepRow> all;
    for (const int context : contexts) {
      EXPECT_TRUE((*device)->reserve(context, 0, kTokens));
      for (int i = 0; i < kTokens; i++) all.push_back({(i * 7 + context) % 50, i, context});
    }
    std::vector<float> found;
    const auto keep = [&found](std::span<const float> values) {
      found.insert(found.end(), values.begin(), values.end());
    };
    for (size_t done = 0; done < all.size();) {
      const size_t count = std::min(all.size() - done, static_cast<size_t>(chunk));
      (*device)->step(std::span(all).subspan(done, count));
      done += count;
      const auto last = static_cast<int32_t>(count) - 1;
      const std::vector<std::vector<int32_t>> calls = {{last}, {last / 2, 0, last, last / 3, 0}};
      for (const std::vector<int32_t>& rows : calls) {
        (*device)->compute_logits(rows);
        for (size_t i = 0; i < rows.size(); i++) keep((*device)->logits(static_cast<int>(i)));
      }
      (*device)->compute_hidden(calls[1]);
      for (size_t i = 0; i < calls[1].size(); i++) keep((*device)->hidden(static_cast<int>(i)));
    }
    return found;
  }

  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("hotaru_program_forms_" + std::to_string(::getpid()));
};

// Buffers of a block have the same ids in every program, so the calls move as they are.
void move_last_block(fb::HefT& meta) {
  fb::ProgramT& head = *meta.programs[2];
  const auto is_gather = [](const auto& call) { return call->operation.AsGatherCall() != nullptr; };
  const auto first = std::ranges::find_if_not(head.calls, is_gather);
  const auto last = head.calls.end() - 2;  // the final norm and the output layer
  for (const size_t body : {size_t{0}, size_t{1}}) {
    for (auto call = first; call != last; ++call) {
      meta.programs[body]->calls.push_back(std::make_unique<fb::CallT>(**call));
    }
  }
  head.calls.erase(head.calls.begin() + 1, last);
  for (const auto& program : meta.programs) program->shared_buffers.clear();
  meta.required_features.clear();
}

// Adds what every linear behind a SwiGLU makes twice.
void repeat_down(fb::HefT& meta) {
  for (const auto& program : meta.programs) {
    auto& calls = program->calls;
    for (size_t i = 1; i < calls.size(); i++) {
      if (calls[i - 1]->operation.AsSwiGluCall() == nullptr) continue;
      calls.insert(calls.begin() + static_cast<std::ptrdiff_t>(i), std::make_unique<fb::CallT>(*calls[i]));
    }
  }
}

constexpr int kChunks[] = {1, 5, 64, 70, 128};  // rows a step

TEST_F(ProgramForms, ALateBlockHasTheBitsOfAnEarlyOne) {
  write_other("early.hef", move_last_block);
  for (const int chunk : kChunks) {
    const std::vector<float> wanted = play("early.hef", Isa::kRef, chunk);
    for (const Isa isa : available_isas()) {
      EXPECT_EQ(play("late.hef", isa, chunk), wanted) << isa_name(isa) << ", " << chunk << " rows a step";
      EXPECT_EQ(play("early.hef", isa, chunk), wanted) << isa_name(isa) << ", " << chunk << " rows a step";
    }
  }
}

TEST_F(ProgramForms, ProductsMayBeReadTwice) {
  write_other("twice.hef", repeat_down);
  for (const int chunk : kChunks) {
    const std::vector<float> wanted = play("twice.hef", Isa::kRef, chunk);
    EXPECT_NE(play("late.hef", Isa::kRef, chunk), wanted) << "the case says nothing";
    for (const Isa isa : available_isas()) {
      EXPECT_EQ(play("twice.hef", isa, chunk), wanted) << isa_name(isa) << ", " << chunk << " rows a step";
    }
  }
}

}  // namespace
}  // namespace hotaru
