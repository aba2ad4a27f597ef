// Two buffers may share bytes only when they never hold something at the same time. Checked by playing the calls over a
// map of who wrote each byte last, on programs of synthetic models.
#include "compiler/plan_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/log.h"
#include "compiler/print_program.h"
#include "compiler/synthetic.h"
#include "format/hef.h"

namespace hotaru {
namespace {

constexpr const char* kToyConfig = R"({"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 64,
  "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
  "vocab_size": 50, "max_position_embeddings": 200, "tie_word_embeddings": true})";

class Synthetic : public testing::Test {
 protected:
  void SetUp() override {
    set_verbosity(Verbosity::kQuiet);
    std::filesystem::create_directories(folder_);
    std::ofstream(path("toy.json")) << kToyConfig;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  HefFile make(const SyntheticOptions& options = {}) const {
    const auto written = write_synthetic_hef(path("toy.json"), options, path("toy.hef"));
    EXPECT_TRUE(written.ok()) << written.error().message;
    auto hef = HefFile::open(path("toy.hef"));
    EXPECT_TRUE(hef.ok()) << hef.error().message;
    return *std::move(hef);
  }
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("hotaru_synthetic_" + std::to_string(::getpid()));
};

struct Access {
  std::vector<int> reads;
  int write;
};

Access access_of(const fb::Call& call) {
  if (const auto* c = call.operation_as_EmbedCall()) return {{}, c->output_buffer()};
  if (const auto* c = call.operation_as_GatherCall()) return {{c->input_buffer()}, c->output_buffer()};
  if (const auto* c = call.operation_as_RmsNormCall()) return {{c->input_buffer()}, c->output_buffer()};
  if (const auto* c = call.operation_as_RopeCall()) return {{c->qkv_buffer()}, c->query_buffer()};
  if (const auto* c = call.operation_as_AttentionCall()) return {{c->query_buffer()}, c->output_buffer()};
  if (const auto* c = call.operation_as_SwiGluCall()) return {{c->input_buffer()}, c->output_buffer()};
  const auto* c = call.operation_as_LinearCall();
  if (c->add_to_output()) return {{c->input_buffer(), c->output_buffer()}, c->output_buffer()};
  return {{c->input_buffer()}, c->output_buffer()};
}

void expect_no_clobbering(const fb::Program& program, uint64_t arena_bytes) {
  std::vector<int> owner(arena_bytes, -1);
  const auto owns = [&](int id) {
    const fb::Buffer& buffer = *program.buffers()->Get(static_cast<unsigned>(id));
    for (uint64_t i = 0; i < buffer.row_bytes() * buffer.rows(); i++) {
      if (owner[buffer.offset() + i] != id) return false;
    }
    return true;
  };
  const auto take = [&](int id) {
    const fb::Buffer& buffer = *program.buffers()->Get(static_cast<unsigned>(id));
    for (uint64_t i = 0; i < buffer.row_bytes() * buffer.rows(); i++) owner[buffer.offset() + i] = id;
  };
  // What programs share comes from the one before in the head, and goes to the head from the others.
  std::vector<int> handed_over = {program.residual_buffer()};
  handed_over.insert(handed_over.end(), program.shared_buffers()->begin(), program.shared_buffers()->end());
  const bool is_head = program.logits_buffer() != -1;
  for (const int id : handed_over) {
    if (is_head || id == program.residual_buffer()) take(id);
  }
  for (const fb::Call* call : *program.calls()) {
    const Access access = access_of(*call);
    for (const int read : access.reads) EXPECT_TRUE(owns(read)) << program.name()->str() << " " << call->name()->str();
    take(access.write);
    for (const int read : access.reads) EXPECT_TRUE(owns(read)) << "overwritten while read: " << call->name()->str();
  }
  for (const int id : handed_over) EXPECT_TRUE(owns(id)) << program.name()->str() << " " << id;
  EXPECT_TRUE(!is_head || owns(program.logits_buffer()));
}

TEST_F(Synthetic, BuffersShareBytesOnlyWhenTheyMay) {
  const HefFile hef = make();
  uint64_t separate = 0;
  for (const fb::Program* program : *hef.meta().programs()) {
    expect_no_clobbering(*program, hef.meta().memory()->activations());
    const fb::Buffer* residual = program->buffers()->Get(static_cast<unsigned>(program->residual_buffer()));
    EXPECT_EQ(residual->offset(), 0U);
    if (program->name()->str() != "prefill") continue;
    for (const fb::Buffer* buffer : *program->buffers()) separate += buffer->row_bytes() * buffer->rows();
  }
  EXPECT_LT(hef.meta().memory()->activations(), separate * 9 / 10);
}

TEST_F(Synthetic, IsMarkedAndReproducible) {
  const auto read = [this](const char* name) {
    std::ifstream stream(path(name), std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  };
  const HefFile hef = make();
  EXPECT_TRUE(hef.meta().identity()->synthetic());
  EXPECT_EQ(hef.meta().identity()->name()->str(), "toy");
  ASSERT_TRUE(write_synthetic_hef(path("toy.json"), {}, path("again.hef")).ok());
  EXPECT_EQ(read("toy.hef"), read("again.hef"));
  SyntheticOptions other;
  other.seed = 1;
  ASSERT_TRUE(write_synthetic_hef(path("toy.json"), other, path("other.hef")).ok());
  EXPECT_NE(read("toy.hef"), read("other.hef"));
}

// HOTARU_UPDATE_GOLDEN=1 rewrites the goldens.
TEST_F(Synthetic, ProgramsAreAsPrinted) {
  const HefFile hef = make();
  for (const char* name : {"tbt", "head"}) {
    const std::string text = print_program(hef, *hef.find_program(name));
    const std::string golden_path = std::string(HOTARU_SOURCE_DIR) + "/tests/golden/program_" + name + ".txt";
    if (std::getenv("HOTARU_UPDATE_GOLDEN") != nullptr) std::ofstream(golden_path) << text;
    std::stringstream golden;
    golden << std::ifstream(golden_path).rdbuf();
    EXPECT_EQ(text, golden.str()) << golden_path << " differs; HOTARU_UPDATE_GOLDEN=1 rewrites it";
  }
}

}  // namespace
}  // namespace hotaru
