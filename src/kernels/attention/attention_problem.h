// Inputs for tests, fuzzing and benchmarks of the attention kernels: contexts in shuffled pages, rows of several
// contexts in one batch, buffers of exactly the size that the contract promises.
#pragma once

#include <algorithm>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/attention/attention.h"
#include "kernels/linear_problem.h"

namespace hotaru {

// kEqual: all keys of a context are the same. kPeak: one key lies along the query, the others against it.
enum class AttentionFill { kRandom, kZero, kExtreme, kEqual, kPeak };

struct AttentionShape {
  struct Context {
    int first_position = 0;  // of its first row; earlier keys come from earlier steps
    int rows = 1;
  };
  int query_heads = 1, kv_heads = 1, head_width = 16;
  std::vector<Context> contexts = {{}};
  AttentionFill fill = AttentionFill::kRandom;
  int unwritten = 0xA5;  // the byte of a last page's slots beyond its last key; -1: random bytes
  float sharpness = 30;  // about how many codes of score make a factor e
  bool wide_output = false;
  int prefix_tokens = 0;
  bool split_keys = false;
  [[nodiscard]] int tokens() const {
    return std::accumulate(contexts.begin(), contexts.end(), 0, [](int sum, const Context& c) { return sum + c.rows; });
  }
  [[nodiscard]] int max_context() const {
    int most = 0;
    for (const Context& context : contexts) most = std::max(most, context.first_position + context.rows);
    return most;
  }
};

class AttentionProblem {
 public:
  AttentionProblem(const AttentionShape& shape, uint64_t seed)
      : shape_(shape),
        random_(seed),
        query_(elements()),
        score_scale_(static_cast<size_t>(shape.query_heads)),
        value_scale_(static_cast<size_t>(shape.kv_heads)),
        value_zero_point_(static_cast<size_t>(shape.kv_heads)) {
    for (size_t i = 0; i < query_.size(); i++) query_.data()[i] = static_cast<int8_t>(code(-127, 127));
    const float step = 1.0F / (shape.sharpness * 73.0F * std::sqrt(static_cast<float>(shape.head_width)));
    for (size_t h = 0; h < score_scale_.size(); h++) score_scale_.data()[h] = step * (0.5F + uniform());
    for (size_t g = 0; g < value_scale_.size(); g++) {
      value_scale_.data()[g] = 0.01F + 0.05F * uniform();
      value_zero_point_.data()[g] = code(-128, 127);
    }
    add_pages();
    add_rows();
    add_prefix();
    if (shape.split_keys) add_key_bias();
  }

  [[nodiscard]] AttentionArgs args(uint8_t* output, std::byte* workspace) const {
    return {.tokens = shape_.tokens(),
            .query_heads = shape_.query_heads,
            .kv_heads = shape_.kv_heads,
            .head_width = shape_.head_width,
            .max_context = shape_.max_context(),
            .query = query_.data(),
            .position = position_.data(),
            .pages = row_pages_.data(),
            .key_offset = key_offset(),
            .value_offset = value_offset(),
            .score_scale = score_scale_.data(),
            .value_scale = value_scale_.data(),
            .value_zero_point = value_zero_point_.data(),
            .output_inverse_scale = shape_.wide_output ? 5140.0F : 20.0F,
            .output_zero_point = shape_.wide_output ? 33667.0F : 131.0F,
            .output = {output, shape_.wide_output ? output + elements() : nullptr},
            .prefix = prefix(),
            .key_bias = key_bias(),
            .workspace = workspace};
  }
  [[nodiscard]] const AttentionShape& shape() const { return shape_; }
  [[nodiscard]] size_t output_bytes() const { return elements() * (shape_.wide_output ? 2 : 1); }
  [[nodiscard]] size_t elements() const {
    return static_cast<size_t>(shape_.tokens()) * static_cast<size_t>(shape_.query_heads) * width();
  }
  [[nodiscard]] size_t workspace_bytes() const {
    return attention_workspace_bytes(shape_.max_context(), shape_.head_width);
  }
  // Rows in another order: still the same rows, of the same contexts.
  void shuffle_rows() {
    std::vector<size_t> order(position_.size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random_);
    const auto position = position_;
    const auto pages = row_pages_;
    for (size_t i = 0; i < order.size(); i++) {
      position_[i] = position[order[i]];
      row_pages_[i] = pages[order[i]];
    }
  }

  [[nodiscard]] AttentionPrefix prefix() const {
    return {shape_.prefix_tokens, prefix_key_.data(), prefix_value_.data(), prefix_score_scale_.data(),
            prefix_value_scale_.data()};
  }
  [[nodiscard]] AttentionKeyBias key_bias() const {
    if (!shape_.split_keys) return {};
    return {coefficients_.data(), coefficients_.data() + elements(), columns_.data(), prefix_columns_.data(),
            bias_scale_.data()};
  }

 private:
  [[nodiscard]] size_t width() const { return static_cast<size_t>(shape_.head_width); }
  [[nodiscard]] size_t side_bytes() const { return static_cast<size_t>(shape_.kv_heads) * page_side_bytes(width()); }
  // A page holds one other layer before this one's keys, and keys and values do not touch.
  [[nodiscard]] size_t key_offset() const { return 128; }
  [[nodiscard]] size_t value_offset() const { return key_offset() + side_bytes() + 64; }

  float uniform() { return static_cast<float>(random_() % 4096) / 4096.0F; }
  int code(int low, int high) {
    switch (shape_.fill) {
      case AttentionFill::kZero:
        return 0;
      case AttentionFill::kExtreme:
        return random_() % 2 == 0 ? low : high;
      case AttentionFill::kRandom:
      case AttentionFill::kEqual:
      case AttentionFill::kPeak:
        break;
    }
    return low + static_cast<int>(random_() % static_cast<uint64_t>(high - low + 1));
  }

  void add_pages() {
    for (const AttentionShape::Context& context : shape_.contexts) {
      const auto keys = static_cast<size_t>(context.first_position + context.rows);
      std::vector<std::byte*> pages;
      for (size_t page = 0; page * kPageTokens < keys; page++) {
        auto& bytes = storage_.emplace_back(std::make_unique<AlignedArray<std::byte>>(value_offset() + side_bytes()));
        std::generate_n(bytes->data(), bytes->size(), [&] {
          return static_cast<std::byte>(shape_.unwritten < 0 ? unwritten_() & 255
                                                             : static_cast<unsigned>(shape_.unwritten));
        });
        pages.push_back(bytes->data());
      }
      std::shuffle(pages.begin(), pages.end(), random_);
      for (size_t s = 0; s < keys; s++) write_key_and_value(pages, s, s == keys / 2);
      page_lists_.push_back(std::move(pages));
    }
  }

  void write_key_and_value(const std::vector<std::byte*>& pages, size_t s, bool is_peak) {
    std::byte* page = pages[s / kPageTokens];
    for (size_t g = 0; g < static_cast<size_t>(shape_.kv_heads); g++) {
      std::byte* keys = page + key_offset() + g * page_side_bytes(width());
      std::byte* values = page + value_offset() + g * page_side_bytes(width());
      for (size_t e = 0; e < width(); e++) {
        int key = code(0, 255);
        const bool along = query_.data()[g * width() + e] > 0;
        if (shape_.fill == AttentionFill::kPeak) key = along == is_peak ? 255 : 0;
        if (shape_.fill == AttentionFill::kEqual) key = static_cast<int>(e * 37 % 256);
        keys[key_page_index(s % kPageTokens, e, width())] = static_cast<std::byte>(key);
        values[value_page_index(s % kPageTokens, e)] = static_cast<std::byte>(code(-128, 127));
      }
    }
  }

  void add_rows() {
    for (size_t c = 0; c < shape_.contexts.size(); c++) {
      for (int i = 0; i < shape_.contexts[c].rows; i++) {
        position_.push_back(shape_.contexts[c].first_position + i);
        row_pages_.push_back(page_lists_[c].data());
      }
    }
  }

  // Prefix keys of the same size as the others, if a scale is 1/128; or scores far above them.
  void add_prefix() {
    const auto elements = static_cast<size_t>(shape_.prefix_tokens * shape_.kv_heads * shape_.head_width);
    prefix_key_ = AlignedArray<int16_t>(elements);
    prefix_value_ = AlignedArray<int16_t>(elements);
    prefix_score_scale_ = AlignedArray<float>(score_scale_.size());
    prefix_value_scale_ = AlignedArray<float>(value_scale_.size());
    std::generate_n(prefix_key_.data(), elements, [&] { return static_cast<int16_t>(code(-32767, 32767)); });
    std::generate_n(prefix_value_.data(), elements, [&] { return static_cast<int16_t>(code(-32767, 32767)); });
    const float size = shape_.prefix_tokens % 2 == 0 ? 128.0F : 8.0F;
    for (size_t h = 0; h < score_scale_.size(); h++) prefix_score_scale_.data()[h] = score_scale_.data()[h] / size;
    for (size_t g = 0; g < value_scale_.size(); g++) prefix_value_scale_.data()[g] = value_scale_.data()[g] / 256.0F;
  }

  // Coefficients and columns of any size; together they count as much as queries and keys.
  void add_key_bias() {
    const size_t pages = (static_cast<size_t>(shape_.max_context()) + kPageTokens - 1) / kPageTokens;
    const size_t side = page_side_bytes(width());
    coefficients_ = AlignedArray<int8_t>(2 * elements());
    columns_ = AlignedArray<uint8_t>(pages * 2 * side);
    prefix_columns_ = AlignedArray<int16_t>(static_cast<size_t>(shape_.prefix_tokens) * width());
    bias_scale_ = AlignedArray<float>(score_scale_.size());
    for (size_t i = 0; i < elements(); i++) {
      coefficients_.data()[i] = static_cast<int8_t>(code(-127, 127));
      coefficients_.data()[elements() + i] = static_cast<int8_t>(code(-128, 127));
    }
    for (size_t page = 0; page < pages; page++) {
      for (size_t i = 0; i < side; i++) {
        const int column = code(0, 32767);
        columns_.data()[2 * page * side + i] = static_cast<uint8_t>(column >> 8);
        columns_.data()[(2 * page + 1) * side + i] = static_cast<uint8_t>(column & 255);
      }
    }
    std::generate_n(prefix_columns_.data(), prefix_columns_.size(),
                    [&] { return static_cast<int16_t>(code(0, 32767)); });
    for (size_t h = 0; h < score_scale_.size(); h++) bias_scale_.data()[h] = score_scale_.data()[h] / 128;
  }

  AttentionShape shape_;
  std::mt19937_64 random_;
  std::mt19937_64 unwritten_{99};
  AlignedArray<int8_t> query_;
  AlignedArray<float> score_scale_, value_scale_;
  AlignedArray<int32_t> value_zero_point_;
  AlignedArray<int16_t> prefix_key_{0}, prefix_value_{0};
  AlignedArray<float> prefix_score_scale_{0}, prefix_value_scale_{0};
  AlignedArray<int8_t> coefficients_{0};  // [2, T, H, E], high and low
  AlignedArray<uint8_t> columns_{0};
  AlignedArray<int16_t> prefix_columns_{0};
  AlignedArray<float> bias_scale_{0};
  std::vector<std::unique_ptr<AlignedArray<std::byte>>> storage_;
  std::vector<std::vector<std::byte*>> page_lists_;
  std::vector<int32_t> position_;
  std::vector<std::byte* const*> row_pages_;
};

// The output of one kernel (a second plane behind the first), its slices one after the other.
inline std::vector<uint8_t> run_attention(const AttentionProblem& problem, AttentionKernel kernel, int slices) {
  AlignedArray<uint8_t> output(problem.output_bytes());
  AlignedArray<std::byte> workspace = used_workspace(problem.workspace_bytes());
  for (int i = 0; i < slices; i++) kernel(problem.args(output.data(), workspace.data()), Slice{i, slices});
  return {output.data(), output.data() + output.size()};
}

}  // namespace hotaru
