// Every attention kernel of the list against ref, byte for byte; ref against softmax attention in double.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/attention/attention_problem.h"
#include "kernels/attention/probability.h"
#include "kernels/emulation/tested_kernels.h"
#include "kernels/kernel_set.h"

namespace hotaru {
namespace {

using Kernel = TestedKernel<AttentionArgs>;

// Runs `body` for every kernel of the list that this machine can play.
template <typename Body>
void for_each_kernel(Body body) {
  for (const Kernel& kernel : tested_kernels<AttentionArgs>()) {
    SCOPED_TRACE(kernel.how());
    if (!kernel.emulated) prepare_thread(kernel.isa);
    body(kernel);
    if (!kernel.emulated) release_thread(kernel.isa);
  }
}

std::string shape_text(const AttentionShape& shape) {
  std::string text = fmt::format("H {} G {} E {} fill {} sharpness {} prefix {}{} contexts", shape.query_heads,
                                 shape.kv_heads, shape.head_width, static_cast<int>(shape.fill), shape.sharpness,
                                 shape.prefix_tokens, shape.split_keys ? " split keys" : "");
  for (const auto& context : shape.contexts) text += fmt::format(" {}+{}", context.first_position, context.rows);
  return text;
}

void expect_same(const std::vector<uint8_t>& found, const std::vector<uint8_t>& wanted, const AttentionShape& shape) {
  ASSERT_EQ(found.size(), wanted.size());
  const auto width = static_cast<size_t>(shape.head_width);
  const auto heads = static_cast<size_t>(shape.query_heads);
  for (size_t i = 0; i < found.size(); i++) {
    ASSERT_EQ(found[i], wanted[i]) << shape_text(shape) << ": row " << i / width / heads << " head "
                                   << i / width % heads << " channel " << i % width;
  }
}

AttentionShape random_shape(std::mt19937_64& random, int index) {
  const auto below = [&](int limit) { return static_cast<int>(random() % static_cast<uint64_t>(limit)); };
  constexpr int kWidths[] = {16, 32, 64, 80, 96, 128};
  AttentionShape shape;
  shape.head_width = kWidths[below(6)];
  shape.kv_heads = 1 + below(3);
  shape.query_heads = shape.kv_heads * (1 + below(6));
  shape.fill = static_cast<AttentionFill>(index % 3 == 0 ? below(5) : 0);
  shape.unwritten = below(2) == 0 ? -1 : 255;
  shape.sharpness = static_cast<float>(1 << below(8));
  shape.wide_output = below(4) == 0;
  shape.prefix_tokens = below(2) == 0 ? 0 : 1 + below(4);
  shape.split_keys = index % 2 == 1;
  shape.contexts.clear();
  const int contexts = 1 + below(3);
  for (int c = 0; c < contexts; c++) {
    const int rows = below(3) == 0 ? 1 : 1 + below(40 / contexts);
    shape.contexts.push_back({below(200), rows});
  }
  return shape;
}

TEST(Attention, KernelsEqualRef) {
  for_each_kernel([](const Kernel& kernel) {
    std::mt19937_64 random(11);
    const int shapes = kernel.emulated ? 25 : 100;
    for (int i = 0; i < shapes && !::testing::Test::HasFatalFailure(); i++) {
      AttentionProblem problem(random_shape(random, i), static_cast<uint64_t>(i));
      if (i % 5 == 4) problem.shuffle_rows();
      expect_same(run_attention(problem, kernel.run, 1 + i % 4), run_attention(problem, attention_ref, 1),
                  problem.shape());
    }
    fmt::print("{}\n", kernel.how());
  });
}

TEST(Attention, LongContextsEqualRef) {
  for_each_kernel([](const Kernel& kernel) {
    for (const int keys : {1023, 1500, 2100}) {
      AttentionShape shape{.query_heads = 6, .kv_heads = 1, .head_width = 128, .contexts = {{keys, 2}, {keys / 2, 1}}};
      shape.split_keys = keys == 1500;
      const AttentionProblem problem(shape, static_cast<uint64_t>(keys));
      expect_same(run_attention(problem, kernel.run, 2), run_attention(problem, attention_ref, 1), shape);
    }
  });
}

// Every number of keys from one to a few pages, alone and with rows before it that see fewer.
TEST(Attention, EveryLengthEqualsRef) {
  for_each_kernel([](const Kernel& kernel) {
    for (int keys = 1; keys <= 200; keys += kernel.emulated ? 3 : 1) {
      AttentionShape shape{.query_heads = 6, .kv_heads = 2, .head_width = 32, .contexts = {{keys - 1, 1}}};
      if (keys % 2 == 0) shape.contexts = {{keys - 1, 1}, {0, keys % 17 + 1}};
      shape.fill = static_cast<AttentionFill>(keys % 5);
      shape.unwritten = 255;
      const AttentionProblem problem(shape, static_cast<uint64_t>(keys));
      expect_same(run_attention(problem, kernel.run, 1 + keys % 4), run_attention(problem, attention_ref, 1), shape);
    }
  });
}

TEST(Attention, ExtremesEqualRef) {
  for_each_kernel([](const Kernel& kernel) {
    for (const auto fill :
         {AttentionFill::kZero, AttentionFill::kExtreme, AttentionFill::kEqual, AttentionFill::kPeak}) {
      for (const float sharpness : {1e-6F, 1.0F, 1e4F, 1e30F}) {
        AttentionShape shape{.query_heads = 6, .kv_heads = 2, .head_width = 64, .contexts = {{0, 7}, {150, 17}}};
        shape.fill = fill;
        shape.sharpness = sharpness;
        for (const bool split_keys : {false, true}) {
          shape.split_keys = split_keys;
          const AttentionProblem problem(shape, 5);
          expect_same(run_attention(problem, kernel.run, 3), run_attention(problem, attention_ref, 1), shape);
        }
      }
    }
  });
}

TEST(Attention, SplitKeysEqualRefAtEveryLength) {
  for_each_kernel([](const Kernel& kernel) {
    for (int keys = 1; keys <= 200; keys += kernel.emulated ? 13 : 1) {
      AttentionShape shape{.query_heads = 3, .kv_heads = 1, .head_width = keys % 2 == 0 ? 16 : 80};
      shape.contexts = {{keys - 1, 1}};
      shape.prefix_tokens = keys % 3;
      shape.fill = keys % 5 == 0 ? AttentionFill::kExtreme : AttentionFill::kRandom;
      shape.split_keys = true;
      const AttentionProblem problem(shape, static_cast<uint64_t>(keys));
      expect_same(run_attention(problem, kernel.run, 1), run_attention(problem, attention_ref, 1), shape);
    }
  });
}

// The widest head with the largest codes: c comes within a percent of 2^31 and does not wrap.
TEST(Attention, TheLargestBiasScoresFitInt32) {
  constexpr size_t kWidth = kMaxSplitHeadWidth;
  AttentionShape shape{.query_heads = 1, .kv_heads = 1, .head_width = kWidth, .contexts = {{1, 1}}};
  shape.fill = AttentionFill::kZero;
  shape.split_keys = true;
  const AttentionProblem problem(shape, 1);
  std::vector<int8_t> high(kWidth, 127), low(kWidth, 127);
  std::vector<uint8_t> columns(2 * page_side_bytes(kWidth));
  for (size_t e = 0; e < kWidth; e++) {  // key 0 has the largest columns, key 1 zeros
    columns[key_page_index(0, e, kWidth)] = 127;
    columns[page_side_bytes(kWidth) + key_page_index(0, e, kWidth)] = 255;
  }
  const float scale = 1e-6F;
  for_each_kernel([&](const Kernel& kernel) {
    for (const auto run : {kernel.run, static_cast<AttentionKernel>(attention_ref)}) {
      std::vector<uint8_t> output(kWidth);
      AlignedArray<std::byte> workspace(problem.workspace_bytes());
      AttentionArgs args = problem.args(output.data(), workspace.data());
      args.key_bias = {high.data(), low.data(), columns.data(), nullptr, &scale};
      std::byte* pages[1] = {const_cast<std::byte*>(args.pages[0][0])};
      for (size_t e = 0; e < kWidth; e++) {
        pages[0][args.value_offset + value_page_index(0, e)] = std::byte{50};
        pages[0][args.value_offset + value_page_index(1, e)] = std::byte{0};
      }
      run(args, Slice{});
      const float y = 50 * args.value_scale[0] * args.output_inverse_scale + args.output_zero_point;
      for (const uint8_t code : output) EXPECT_NEAR(code, std::min(y, 255.0F), 0.51);
    }
  });
}

// The slots of a last page beyond its last key hold whatever was there before.
TEST(Attention, UnwrittenSlotsMeanNothing) {
  for_each_kernel([](const Kernel& kernel) {
    AttentionShape shape{
        .query_heads = 4, .kv_heads = 2, .head_width = 32, .contexts = {{70, 3}, {0, 1}, {63, 1}, {64, 1}}};
    std::vector<std::vector<uint8_t>> outputs;
    for (const int unwritten : {0, 255, -1}) {
      shape.unwritten = unwritten;
      outputs.push_back(run_attention(AttentionProblem(shape, 3), kernel.run, 2));
    }
    expect_same(outputs[1], outputs[0], shape);
    expect_same(outputs[2], outputs[0], shape);
  });
}

TEST(Attention, RowsAreIndependentOfTheirBatch) {
  for_each_kernel([](const Kernel& kernel) {
    const AttentionShape shape{
        .query_heads = 6, .kv_heads = 2, .head_width = 64, .contexts = {{30, 20}, {99, 1}, {5, 3}}};
    const AttentionProblem problem(shape, 8);
    const std::vector<uint8_t> together = run_attention(problem, kernel.run, 1);
    AlignedArray<std::byte> workspace(problem.workspace_bytes());
    const size_t row_elements = 6 * 64;
    std::vector<uint8_t> alone(together.size());
    for (size_t t = 0; t < static_cast<size_t>(shape.tokens()); t++) {
      AttentionArgs args = problem.args(alone.data() + t * row_elements, workspace.data());
      args.tokens = 1;
      args.query += t * row_elements;
      args.position += t;
      args.pages += t;
      kernel.run(args, Slice{});
    }
    expect_same(together, alone, shape);
  });
}

TEST(Attention, ProbabilityIsARoundedPowerOfTwo) {
  EXPECT_EQ(probability_u8(0, 0.37F), 255);
  int previous = 255;
  for (int distance = 0; distance >= -17000; distance--) {
    const double exact = 255.0 * std::exp2(static_cast<double>(distance) * 0.001);
    const int p = probability_u8(distance, 0.001F);
    EXPECT_LE(std::abs(p - exact), 0.5 + exact * 1.1e-4) << distance;
    EXPECT_LE(p, previous) << distance;
    previous = p;
  }
  EXPECT_EQ(previous, 0);
  EXPECT_EQ(probability_u8(-16'000'000, 1e30F), 0);
}

// Softmax attention of the same codes in double; `codes` are 255 exp2(a - m), `prefix` those of the prefix tokens. All
// scores are of keys without their zero point.
struct ExactHead {
  std::vector<double> codes;
  std::vector<double> prefix;
  double sum = 0;

  ExactHead(const AttentionArgs& args, size_t t, size_t h) {
    std::vector<double> scores;
    for (size_t s = 0; s <= static_cast<size_t>(args.position[t]); s++) {
      double score = 0;
      for (size_t e = 0; e < 64; e++) {
        const std::byte* keys = args.pages[t][s / kPageTokens] + args.key_offset + h / 2 * page_side_bytes(64);
        const double key = static_cast<double>(keys[key_page_index(s % kPageTokens, e, 64)]) - 119.0;
        score += args.query[(t * 4 + h) * 64 + e] * key * static_cast<double>(args.score_scale[h]);
      }
      const uint8_t* high = args.key_bias.columns + s / kPageTokens * 2 * page_side_bytes(64);
      scores.push_back(score + bias_score(args, t, h, [&](size_t e) {
                         const size_t at = key_page_index(s % kPageTokens, e, 64);
                         return 256 * high[at] + high[at + page_side_bytes(64)];
                       }));
    }
    const double most = *std::max_element(scores.begin(), scores.end());
    for (const double score : scores) codes.push_back(255 * std::exp2(score - most));
    sum = std::accumulate(codes.begin(), codes.end(), 0.0);
    const double unit = static_cast<double>(args.score_scale[h]);
    for (size_t i = 0; i < static_cast<size_t>(args.prefix.tokens); i++) {
      double score = 0;
      for (size_t e = 0; e < 64; e++) {
        const double key = args.prefix.key[(i * 2 + h / 2) * 64 + e] * static_cast<double>(args.prefix.score_scale[h]);
        score += args.query[(t * 4 + h) * 64 + e] * (key - 119.0 * unit);
      }
      score += bias_score(args, t, h, [&](size_t e) { return args.key_bias.prefix_columns[i * 64 + e]; });
      prefix.push_back(255 * std::exp2(std::min(score - most, 24.0)));
      sum += prefix.back();
    }
  }

  // Coefficients times columns, in full.
  template <typename Column>
  static double bias_score(const AttentionArgs& args, size_t t, size_t h, const Column& column) {
    if (args.key_bias.high == nullptr) return 0;
    double score = 0;
    for (size_t e = 0; e < 64; e++) {
      const size_t at = (t * 4 + h) * 64 + e;
      score += (256.0 * args.key_bias.high[at] + args.key_bias.low[at]) * column(e) / 256;
    }
    return score * static_cast<double>(args.key_bias.scale[h]);
  }
};

// What is left between ref and softmax attention is the rounding of probabilities (half a code each, and a little for
// the cubic) and of the output (half a code).
void expect_softmax_attention(int prefix_tokens, bool split_keys) {
  AttentionShape shape{.query_heads = 4, .kv_heads = 2, .head_width = 64, .contexts = {{180, 6}}};
  shape.prefix_tokens = prefix_tokens;
  shape.split_keys = split_keys;
  const AttentionProblem problem(shape, 21);
  const std::vector<uint8_t> found = run_attention(problem, attention_ref, 1);
  const AttentionArgs args = problem.args(nullptr, nullptr);
  for (size_t t = 0; t < 6; t++) {
    for (size_t h = 0; h < 4; h++) {
      const ExactHead head(args, t, h);
      const double scale = static_cast<double>(args.value_scale[h / 2] * args.output_inverse_scale);
      for (size_t e = 0; e < 64; e++) {
        std::vector<double> values;
        for (size_t s = 0; s < head.codes.size(); s++) {
          const std::byte* page = args.pages[t][s / kPageTokens] + args.value_offset + h / 2 * page_side_bytes(64);
          const auto value = static_cast<int8_t>(page[value_page_index(s % kPageTokens, e)]);
          values.push_back(value - args.value_zero_point[h / 2]);
        }
        double exact = std::inner_product(values.begin(), values.end(), head.codes.begin(), 0.0) / head.sum;
        const double value_unit = static_cast<double>(args.prefix.value_scale[h / 2] / args.value_scale[h / 2]);
        for (size_t i = 0; i < head.prefix.size(); i++) {
          const double value = args.prefix.value[(i * 2 + h / 2) * 64 + e] * value_unit;
          exact += head.prefix[i] * value / head.sum;
        }
        double bound = 0;
        for (const double value : values) bound += 0.53 * std::abs(value - exact) / head.sum;
        const double wanted = std::clamp(exact * scale + 131.0, 0.0, 255.0);
        EXPECT_NEAR(found[(t * 4 + h) * 64 + e], wanted, 0.51 + bound * scale * 1.1) << t << " " << h << " " << e;
      }
    }
  }
}

TEST(Attention, RefIsSoftmaxAttention) { expect_softmax_attention(0, false); }
TEST(Attention, RefIsSoftmaxAttentionWithAPrefix) {
  for (const int tokens : {1, 2, 4}) expect_softmax_attention(tokens, false);
}
TEST(Attention, RefIsSoftmaxAttentionWithSplitKeys) {
  for (const int tokens : {0, 1, 2, 4}) expect_softmax_attention(tokens, true);
}

}  // namespace
}  // namespace hotaru
