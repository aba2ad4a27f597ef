// Every row-wise kernel of the list against ref, byte for byte.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <numeric>

#include "kernels/emulation/tested_kernels.h"
#include "kernels/linear_problem.h"
#include "kernels/rope_table.h"
#include "tensor/numerics.h"

namespace hotaru {
namespace {

template <typename T>
using Bytes = std::vector<T>;

class Values {
 public:
  explicit Values(uint64_t seed) : random_(seed) {}
  int below(int limit) { return static_cast<int>(random_() % static_cast<uint64_t>(limit)); }
  // Mostly of ordinary size, sometimes 0, huge or tiny.
  float real() {
    const float x = static_cast<float>(below(20001) - 10000) / 3000.0F;
    const int kind = below(100);
    if (kind == 0) return 0.0F;
    if (kind == 1) return x * 1e4F;
    if (kind == 2) return x * 1e-30F;
    return x;
  }
  AlignedArray<float> reals(size_t count) {
    AlignedArray<float> x(count);
    std::generate_n(x.data(), count, [&] { return real(); });
    return x;
  }

 private:
  std::mt19937_64 random_;
};

template <typename T>
void expect_same(const AlignedArray<T>& found, const AlignedArray<T>& wanted, const std::string& shape) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < found.size(); i++) {
    ASSERT_EQ(std::memcmp(found.data() + i, wanted.data() + i, sizeof(T)), 0)
        << shape << " element " << i << ": got " << +found.data()[i] << ", want " << +wanted.data()[i];
  }
}

// compare(kernel, case number) for every kernel of the op.
template <typename Args, typename Compare>
void for_each_kernel(Compare compare) {
  for (const TestedKernel<Args>& kernel : tested_kernels<Args>()) {
    SCOPED_TRACE(kernel.how());
    for (int i = 0; i < 60 && !::testing::Test::HasFatalFailure(); i++) compare(kernel, i);
    fmt::print("{}\n", kernel.how());
  }
}

// The second half of `codes` is the high plane.
CodePlanes planes(AlignedArray<uint8_t>& codes, bool is_wide) {
  return {codes.data(), is_wide ? codes.data() + codes.size() / 2 : nullptr};
}

template <typename Args>
void play(void (*run)(const Args&, Slice), const Args& args, int slices) {
  for (int i = 0; i < slices; i++) run(args, Slice{i, slices});
}

TEST(Rowwise, EmbedEqualsRef) {
  for_each_kernel<EmbedArgs>([](const TestedKernel<EmbedArgs>& kernel, int i) {
    Values values(static_cast<uint64_t>(i));
    const int tokens = 1 + values.below(9), width = 32 * (1 + values.below(5)), vocabulary = 1 + values.below(100);
    const auto elements = static_cast<size_t>(tokens * width);
    AlignedArray<int8_t> table(packed_int8_bytes(static_cast<size_t>(vocabulary), static_cast<size_t>(width)));
    std::generate_n(table.data(), table.size(), [&] { return static_cast<int8_t>(values.below(256) - 128); });
    const AlignedArray<float> scale = values.reals(static_cast<size_t>(vocabulary));
    AlignedArray<int32_t> id(static_cast<size_t>(tokens));
    std::generate_n(id.data(), id.size(), [&] { return values.below(vocabulary); });
    AlignedArray<float> found(elements), wanted(elements);
    EmbedArgs args{tokens, width, id.data(), table.data(), scale.data(), found.data()};
    play(kernel.run, args, 1 + i % 4);
    args.output = wanted.data();
    embed_ref(args, Slice{});
    expect_same(found, wanted, fmt::format("T {} D {} V {}", tokens, width, vocabulary));
  });
}

TEST(Rowwise, GatherTakesRows) {
  Values values(1);
  const AlignedArray<float> input = values.reals(5 * 7);
  const int32_t row[3] = {4, 0, 4};
  AlignedArray<float> output(3 * 7);
  play(gather_ref,
       GatherArgs{3, 7 * sizeof(float), row, reinterpret_cast<const std::byte*>(input.data()),
                  reinterpret_cast<std::byte*>(output.data())},
       2);
  for (size_t i = 0; i < 3; i++) {
    for (size_t d = 0; d < 7; d++) {
      EXPECT_EQ(output.data()[i * 7 + d], input.data()[static_cast<size_t>(row[i]) * 7 + d]);
    }
  }
}

TEST(Rowwise, RmsNormEqualsRef) {
  for_each_kernel<RmsNormArgs>([](const TestedKernel<RmsNormArgs>& kernel, int i) {
    Values values(static_cast<uint64_t>(i));
    const int tokens = 1 + values.below(11), width = i % 2 == 0 ? 1 + values.below(100) : 32 * (1 + values.below(30));
    const auto elements = static_cast<size_t>(tokens * width);
    const AlignedArray<float> input = values.reals(elements), gamma = values.reals(static_cast<size_t>(width));
    const bool is_wide = i % 5 == 1;
    AlignedArray<uint8_t> found(2 * elements), wanted(2 * elements);
    RmsNormArgs args{.tokens = tokens,
                     .width = width,
                     .epsilon = 1e-6F,
                     .inverse_scale = is_wide ? 10000.0F : 40.0F,
                     .zero_point = static_cast<float>(values.below(is_wide ? 65536 : 256)),
                     .input = input.data(),
                     .gamma = i % 3 == 0 ? nullptr : gamma.data(),
                     .output = planes(found, is_wide)};
    play(kernel.run, args, 1 + i % 4);
    args.output = planes(wanted, is_wide);
    rms_norm_ref(args, Slice{});
    expect_same(found, wanted, fmt::format("T {} D {}", tokens, width));
  });
}

TEST(Rowwise, SwiGluEqualsRef) {
  for_each_kernel<SwiGluArgs>([](const TestedKernel<SwiGluArgs>& kernel, int i) {
    Values values(static_cast<uint64_t>(i));
    const int tokens = 1 + values.below(5), width = i % 2 == 0 ? 1 + values.below(100) : 32 * (1 + values.below(30));
    const auto elements = static_cast<size_t>(tokens * width);
    const auto stride = static_cast<size_t>(width) * (i % 3 == 1 ? 1 : 2);  // gate and up apart, or in one row
    AlignedArray<float> input = values.reals(2 * elements);
    constexpr float kOdd[] = {-200.0F,
                              200.0F,
                              -83.5F,
                              -0.0F,
                              std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN()};
    for (const float x : kOdd) input.data()[static_cast<size_t>(values.below(static_cast<int>(2 * elements)))] = x;
    const bool is_wide = i % 5 == 2;
    const size_t gap = i % 4 == 3 ? 32 : 0;  // codes of others between two rows
    const size_t codes = elements + gap * static_cast<size_t>(tokens);
    AlignedArray<uint8_t> found(2 * codes), wanted(2 * codes);
    SwiGluArgs args{.tokens = tokens,
                    .width = width,
                    .inverse_scale = is_wide ? 2300.0F : 9.0F,
                    .zero_point = 77.0F,
                    .gate = input.data(),
                    .up = input.data() + (stride == static_cast<size_t>(width) ? elements : stride / 2),
                    .input_stride = stride,
                    .output = planes(found, is_wide),
                    .output_stride = static_cast<size_t>(width) + gap};
    play(kernel.run, args, 1 + i % 4);
    args.output = planes(wanted, is_wide);
    swiglu_ref(args, Slice{});
    expect_same(found, wanted, fmt::format("T {} F {}", tokens, width));
  });
}

// Contexts of two page lists, positions at random; all three outputs of RoPE in buffers of their exact size.
class RopeProblem {
 public:
  explicit RopeProblem(int number)
      : values_(static_cast<uint64_t>(number)),
        tokens_(1 + values_.below(20)),
        kv_heads_(1 + values_.below(3)),
        query_heads_(kv_heads_ * (1 + values_.below(4))),
        width_(16 * (1 + values_.below(8))),
        with_norm_(values_.below(2) == 1),
        with_shift_(values_.below(2) == 1),
        with_bias_(values_.below(2) == 1),
        qkv_(values_.reals(size(tokens_ * (query_heads_ + 2 * kv_heads_) * width_))),
        gamma_(values_.reals(size(2 * width_))),
        shift_(values_.reals(size(kv_heads_ * width_))),
        bias_terms_(values_.reals(size(2 * kv_heads_ * width_))),
        scale_(values_.reals(size(query_heads_))),
        bias_scale_(values_.reals(size(query_heads_))),
        zero_point_(size(2 * kv_heads_)),
        cosine_(size(kPositions * width_ / 2)),
        sine_(size(kPositions * width_ / 2)) {
    std::vector<double> inverse_frequency;
    for (int j = 0; j < width_ / 2; j++) inverse_frequency.push_back(std::pow(10000.0, -2.0 * j / width_));
    fill_rope_table({kPositions, inverse_frequency, 1.0}, cosine_.data(), sine_.data());
    for (size_t h = 0; h < size(query_heads_); h++) bias_scale_.data()[h] *= 1000;
    for (size_t g = 0; g < size(kv_heads_); g++) {
      zero_point_.data()[g] = static_cast<float>(values_.below(256));
      zero_point_.data()[size(kv_heads_) + g] = static_cast<float>(values_.below(256) - 128);
    }
    for (int t = 0; t < tokens_; t++) position_.push_back((values_.below(90) + t) % kPositions);
  }

  struct Outputs {
    AlignedArray<int8_t> query;
    AlignedArray<std::byte> pages;
    AlignedArray<int8_t> bias_query;  // high plane, low plane
  };

  [[nodiscard]] Outputs run(RopeKernel kernel, int slices) const {
    const size_t side = size(kv_heads_) * page_side_bytes(size(width_));
    const size_t page_bytes = 2 * side + 64;
    Outputs out{AlignedArray<int8_t>(size(tokens_ * query_heads_ * width_)), AlignedArray<std::byte>(4 * page_bytes),
                AlignedArray<int8_t>(2 * size(tokens_ * query_heads_ * width_))};
    const size_t plane = out.query.size();
    std::fill_n(out.pages.data(), out.pages.size(), std::byte{0x5A});
    std::byte* page[4];
    for (size_t i = 0; i < 4; i++) page[i] = out.pages.data() + (i * 3 % 4) * page_bytes;
    std::vector<std::byte* const*> pages;
    for (int t = 0; t < tokens_; t++) pages.push_back(page + t % 2 * 2);
    play(kernel,
         RopeArgs{.tokens = tokens_,
                  .query_heads = query_heads_,
                  .kv_heads = kv_heads_,
                  .head_width = width_,
                  .epsilon = 1e-5F,
                  .qkv = qkv_.data(),
                  .position = position_.data(),
                  .cosine = cosine_.data(),
                  .sine = sine_.data(),
                  .query_gamma = with_norm_ ? gamma_.data() : nullptr,
                  .key_gamma = with_norm_ ? gamma_.data() + width_ : nullptr,
                  .key_shift = with_shift_ ? shift_.data() : nullptr,
                  .query_inverse_scale = scale_.data(),
                  .key_inverse_scale = scale_.data(),
                  .key_zero_point = zero_point_.data(),
                  .value_inverse_scale = scale_.data(),
                  .value_zero_point = zero_point_.data() + kv_heads_,
                  .query = out.query.data(),
                  .bias_terms = with_bias_ ? bias_terms_.data() : nullptr,
                  .bias_inverse_scale = bias_scale_.data(),
                  .bias_query = {out.bias_query.data() + plane, out.bias_query.data()},
                  .pages = pages.data(),
                  .key_offset = 64,
                  .value_offset = 64 + side},
         slices);
    return out;
  }
  [[nodiscard]] std::string text() const {
    return fmt::format("T {} H {} G {} E {}", tokens_, query_heads_, kv_heads_, width_);
  }

 private:
  static constexpr int kPositions = 2 * kPageTokens;
  static size_t size(int count) { return static_cast<size_t>(count); }

  Values values_;
  int tokens_, kv_heads_, query_heads_, width_;
  bool with_norm_, with_shift_, with_bias_;
  AlignedArray<float> qkv_, gamma_, shift_, bias_terms_, scale_, bias_scale_, zero_point_, cosine_, sine_;
  std::vector<int32_t> position_;
};

TEST(Rowwise, RopeEqualsRef) {
  for_each_kernel<RopeArgs>([](const TestedKernel<RopeArgs>& kernel, int i) {
    const RopeProblem problem(i);
    const RopeProblem::Outputs found = problem.run(kernel.run, 1 + i % 4);
    const RopeProblem::Outputs wanted = problem.run(rope_ref, 1);
    expect_same(found.query, wanted.query, problem.text() + " query");
    expect_same(found.bias_query, wanted.bias_query, problem.text() + " bias query");
    for (size_t b = 0; b < found.pages.size(); b++) {
      ASSERT_EQ(found.pages.data()[b], wanted.pages.data()[b]) << problem.text() << " page byte " << b;
    }
  });
}

// Coefficients times cosines and sines of any angle are the product with a bias turned by it.
TEST(Rowwise, BiasQueryTimesColumnsIsTheQueryTimesTheTurnedBias) {
  constexpr size_t kWidth = 16, kHalf = 8;
  AlignedArray<float> qkv(3 * kWidth), bias(kWidth);
  for (size_t i = 0; i < 3 * kWidth; i++) qkv.data()[i] = static_cast<float>(i * 37 % 11) / 5 - 1;
  for (size_t e = 0; e < kWidth; e++) bias.data()[e] = static_cast<float>(e * 17 % 7) / 3 - 1;
  float cosine[kHalf], sine[kHalf], terms[2 * kWidth];
  for (size_t j = 0; j < kHalf; j++) cosine[j] = 1.0F, sine[j] = 0.0F;  // queries stay as they are
  for (size_t e = 0; e < kWidth; e++) terms[e] = terms[e + kWidth] = bias.data()[e];
  const int32_t position[1] = {0};
  const float one[1] = {1.0F}, thousand[1] = {1000.0F};
  std::vector<std::byte> page(2 * page_side_bytes(kWidth));
  std::byte* pages[1] = {page.data()};
  std::byte* const* row_pages[1] = {pages};
  int8_t query[kWidth], high[kWidth], low[kWidth];
  rope_ref({.tokens = 1,
            .query_heads = 1,
            .kv_heads = 1,
            .head_width = kWidth,
            .qkv = qkv.data(),
            .position = position,
            .cosine = cosine,
            .sine = sine,
            .query_inverse_scale = one,
            .key_inverse_scale = one,
            .key_zero_point = one,
            .value_inverse_scale = one,
            .value_zero_point = one,
            .query = query,
            .bias_terms = terms,
            .bias_inverse_scale = thousand,
            .bias_query = {low, high},
            .pages = row_pages,
            .value_offset = page_side_bytes(kWidth)},
           Slice{});
  for (const double angle : {0.0, 0.3, 2.0, 4.5}) {
    double wanted = 0;
    double found = 0;
    for (size_t j = 0; j < kHalf; j++) {
      const double x = bias.data()[j], y = bias.data()[j + kHalf];
      wanted += qkv.data()[j] * (x * std::cos(angle) - y * std::sin(angle));
      wanted += qkv.data()[j + kHalf] * (y * std::cos(angle) + x * std::sin(angle));
      found += (256 * high[j] + low[j]) / 1000.0 * std::cos(angle);
      found += (256 * high[j + kHalf] + low[j + kHalf]) / 1000.0 * std::sin(angle);
    }
    EXPECT_NEAR(found, wanted, 0.01) << angle;
  }
}

// One head, one token, by hand: rotation by the angle position * frequency, and where each byte goes.
TEST(Rowwise, RopeRefIsTheFormula) {
  constexpr size_t kWidth = 16;
  float qkv[3 * kWidth], cosine[4 * 8], sine[4 * 8];
  for (size_t i = 0; i < 3 * kWidth; i++) qkv[i] = static_cast<float>(i % 7) - 3.0F;
  for (size_t i = 0; i < 4 * 8; i++) cosine[i] = 0.6F, sine[i] = 0.8F;
  const int32_t position[1] = {3};
  const float one[1] = {10.0F}, key_zero_point[1] = {100.0F}, value_zero_point[1] = {-28.0F};
  std::vector<std::byte> page(2 * page_side_bytes(kWidth));
  std::byte* pages[1] = {page.data()};
  std::byte* const* row_pages[1] = {pages};
  int8_t query[kWidth];
  rope_ref({.tokens = 1,
            .query_heads = 1,
            .kv_heads = 1,
            .head_width = kWidth,
            .qkv = qkv,
            .position = position,
            .cosine = cosine,
            .sine = sine,
            .query_inverse_scale = one,
            .key_inverse_scale = one,
            .key_zero_point = key_zero_point,
            .value_inverse_scale = one,
            .value_zero_point = value_zero_point,
            .query = query,
            .pages = row_pages,
            .value_offset = page_side_bytes(kWidth)},
           Slice{});
  for (size_t e = 0; e < kWidth; e++) {
    const auto rotated = [&](const float* x) {
      return e < 8 ? x[e] * 0.6 - x[e + 8] * 0.8 : x[e] * 0.6 + x[e - 8] * 0.8;
    };
    EXPECT_NEAR(query[e], rotated(qkv) * 10, 0.51) << e;
    const auto key = static_cast<uint8_t>(page[key_page_index(3, e, kWidth)]);
    EXPECT_NEAR(key, rotated(qkv + kWidth) * 10 + 100, 0.51) << e;
    const auto value = static_cast<int8_t>(page[page_side_bytes(kWidth) + value_page_index(3, e)]);
    EXPECT_EQ(value, qkv[2 * kWidth + e] * 10 - 28) << e;
  }
}

TEST(Rowwise, NormAndSwiGluAreTheirFormulas) {
  const float x[4] = {3.0F, -4.0F, 0.0F, 0.0F}, gamma[4] = {1.0F, 2.0F, 1.0F, 1.0F};
  uint8_t normalised[4];
  rms_norm_ref({1, 4, 0.0F, 10.0F, 128.0F, x, gamma, {normalised}}, Slice{});  // rms 2.5
  EXPECT_EQ(normalised[0], 140);
  EXPECT_EQ(normalised[1], 96);
  EXPECT_EQ(normalised[2], 128);
  uint8_t product[2];
  swiglu_ref({1, 2, 10.0F, 5.0F, x, x + 2, 2, {product}, 2}, Slice{});  // gate 3, -4; up 0, 0
  EXPECT_EQ(product[0], 5);
  const float gate_up[2] = {2.0F, 3.0F};
  swiglu_ref({1, 1, 10.0F, 5.0F, gate_up, gate_up + 1, 1, {product}, 1}, Slice{});
  EXPECT_EQ(product[0], 58);  // 2 / (1 + e^-2) * 3 = 5.285
  swiglu_ref({1, 1, 10000.0F, 5.0F, gate_up, gate_up + 1, 1, {product, product + 1}, 1}, Slice{});
  EXPECT_EQ(product[0] + 256 * product[1], 52853);
}

}  // namespace
}  // namespace hotaru
