// Inputs for tests, fuzzing and benchmarks of the linear kernels: a problem of a given shape, filled at random or with
// the extremes, in buffers of exactly the size that the contract promises.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <random>
#include <vector>

#include "kernels/linear_int4/linear_int4.h"
#include "kernels/linear_int8/linear_int8.h"

namespace hotaru {

// 64-byte aligned and not a byte longer than asked, so that the address sanitizer sees every step beyond.
template <typename T>
class AlignedArray {
 public:
  explicit AlignedArray(size_t count)
      : data_(static_cast<T*>(::operator new(std::max<size_t>(count * sizeof(T), 1), kAlignment))), count_(count) {
    std::fill_n(data_.get(), count, T{});
  }
  [[nodiscard]] T* data() { return data_.get(); }
  [[nodiscard]] const T* data() const { return data_.get(); }
  [[nodiscard]] size_t size() const { return count_; }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Delete {
    void operator()(T* data) const { ::operator delete(data, kAlignment); }
  };
  std::unique_ptr<T, Delete> data_;
  size_t count_;
};

// A workspace as other calls may leave it.
inline AlignedArray<std::byte> used_workspace(size_t bytes) {
  AlignedArray<std::byte> workspace(bytes);
  std::fill_n(workspace.data(), bytes, std::byte{0x7B});
  return workspace;
}

enum class Fill { kRandom, kZero, kHighest, kLowest };  // lowest: largest activations, most negative weights

struct LinearShape {
  int tokens = 1, inputs = 32, outputs = 1;
  bool bias = false, add_to_output = false;
  Fill fill = Fill::kRandom;
};

inline AlignedArray<std::byte> linear_workspace(const LinearShape& shape) {
  return used_workspace(linear_workspace_bytes(shape.tokens, shape.inputs));
}

class RandomValues {
 public:
  RandomValues(uint64_t seed, Fill fill) : generator_(seed), fill_(fill) {}
  // In [low, high]; the extremes when the fill says so. `weight`: kLowest turns to `low`.
  int integer(int low, int high, bool weight) {
    switch (fill_) {
      case Fill::kRandom:
        return low + static_cast<int>(generator_() % static_cast<uint64_t>(high - low + 1));
      case Fill::kZero:
        return std::clamp(0, low, high);
      case Fill::kHighest:
        return high;
      case Fill::kLowest:
        return weight ? low : high;
    }
    return low;
  }
  float real() { return static_cast<float>(static_cast<int>(generator_() % 20001) - 10000) / 8192.0F; }

 private:
  std::mt19937_64 generator_;
  Fill fill_;
};

// What both ops share. `Args` is filled except for weight, output and workspace.
struct LinearBuffers {
  LinearBuffers(const LinearShape& shape, RandomValues& values)
      : input(static_cast<size_t>(shape.tokens) * static_cast<size_t>(shape.inputs)),
        offset(static_cast<size_t>(shape.outputs)),
        scale(static_cast<size_t>(shape.outputs)),
        bias(static_cast<size_t>(shape.outputs)),
        initial_output(static_cast<size_t>(shape.tokens) * static_cast<size_t>(shape.outputs)) {
    std::generate_n(input.data(), input.size(), [&] { return static_cast<uint8_t>(values.integer(0, 255, false)); });
    std::generate_n(offset.data(), offset.size(), [&] { return values.integer(-9'000'000, 9'000'000, true); });
    std::generate_n(scale.data(), scale.size(), [&] { return values.real() * 0.01F; });
    std::generate_n(bias.data(), bias.size(), [&] { return values.real(); });
    std::generate_n(initial_output.data(), initial_output.size(), [&] { return values.real(); });
  }
  AlignedArray<uint8_t> input;
  AlignedArray<int32_t> offset;
  AlignedArray<float> scale, bias, initial_output;
};

struct LinearInt4Problem {
  using Args = LinearInt4Args;
  LinearInt4Problem(const LinearShape& of, uint64_t seed)
      : shape(of),
        values(seed, of.fill),
        buffers(of, values),
        weight(packed_int4_bytes(static_cast<size_t>(of.outputs), static_cast<size_t>(of.inputs))) {
    const auto rows = static_cast<size_t>(shape.outputs);
    const auto inputs = static_cast<size_t>(shape.inputs);
    std::vector<int8_t> codes(rows * inputs);
    std::vector<uint8_t> multipliers(rows * inputs / kGroupInputs);
    std::generate(codes.begin(), codes.end(), [&] { return static_cast<int8_t>(values.integer(-8, 7, true)); });
    std::generate(multipliers.begin(), multipliers.end(),
                  [&] { return static_cast<uint8_t>(values.integer(0, kMaxMultiplier, false)); });
    pack_int4(codes.data(), multipliers.data(), rows, inputs, weight.data());
  }
  [[nodiscard]] LinearInt4Args args(float* output, std::byte* workspace) const {
    return {.tokens = shape.tokens,
            .inputs = shape.inputs,
            .outputs = shape.outputs,
            .input = buffers.input.data(),
            .weight = weight.data(),
            .offset = buffers.offset.data(),
            .scale = buffers.scale.data(),
            .bias = shape.bias ? buffers.bias.data() : nullptr,
            .output = output,
            .add_to_output = shape.add_to_output,
            .workspace = workspace};
  }
  LinearShape shape;
  RandomValues values;
  LinearBuffers buffers;
  AlignedArray<uint8_t> weight;
};

struct LinearInt8Problem {
  using Args = LinearInt8Args;
  LinearInt8Problem(const LinearShape& of, uint64_t seed)
      : shape(of),
        values(seed, of.fill),
        buffers(of, values),
        weight(packed_int8_bytes(static_cast<size_t>(of.outputs), static_cast<size_t>(of.inputs))) {
    std::vector<int8_t> codes(static_cast<size_t>(shape.outputs) * static_cast<size_t>(shape.inputs));
    std::generate(codes.begin(), codes.end(), [&] { return static_cast<int8_t>(values.integer(-128, 127, true)); });
    pack_int8(codes.data(), static_cast<size_t>(shape.outputs), static_cast<size_t>(shape.inputs), weight.data());
  }
  [[nodiscard]] LinearInt8Args args(float* output, std::byte* workspace) const {
    return {.tokens = shape.tokens,
            .inputs = shape.inputs,
            .outputs = shape.outputs,
            .input = buffers.input.data(),
            .weight = weight.data(),
            .offset = buffers.offset.data(),
            .scale = buffers.scale.data(),
            .output = output,
            .workspace = workspace};
  }
  LinearShape shape;
  RandomValues values;
  LinearBuffers buffers;
  AlignedArray<int8_t> weight;
};

// The output of one kernel, its slices one after the other.
template <typename Problem>
std::vector<float> run_linear(const Problem& problem, void (*kernel)(const typename Problem::Args&, Slice),
                              int slices) {
  const AlignedArray<float>& initial = problem.buffers.initial_output;
  AlignedArray<float> output(initial.size());
  std::copy_n(initial.data(), initial.size(), output.data());
  AlignedArray<std::byte> workspace = linear_workspace(problem.shape);
  for (int i = 0; i < slices; i++) kernel(problem.args(output.data(), workspace.data()), Slice{i, slices});
  return {output.data(), output.data() + output.size()};
}

}  // namespace hotaru
