// The row-wise ops as rowwise.h defines them.
#include <algorithm>
#include <cmath>

#include "kernels/rowwise/rowwise.h"
#include "tensor/numerics.h"

namespace hotaru {
namespace {

float inverse_rms(const float* x, size_t count, float epsilon) {
  return 1.0F / std::sqrt(sum_of_squares(x, count) / static_cast<float>(count) + epsilon);
}

// One head of one row, still as floats: element e after the norm (if any) and the rotation.
class RotatedHead {
 public:
  RotatedHead(const RopeArgs& args, const float* x, size_t t, const float* gamma)
      : x_(x),
        gamma_(gamma),
        half_(static_cast<size_t>(args.head_width) / 2),
        r_(gamma != nullptr ? inverse_rms(x, 2 * half_, args.epsilon) : 1.0F),
        cosine_(args.cosine + static_cast<size_t>(args.position[t]) * half_),
        sine_(args.sine + static_cast<size_t>(args.position[t]) * half_) {}

  [[nodiscard]] float operator[](size_t e) const {
    const size_t j = e % half_;
    const float low = normalised(j);
    const float high = normalised(j + half_);
    if (e < half_) return __builtin_fmaf(low, cosine_[j], -(high * sine_[j]));
    return __builtin_fmaf(high, cosine_[j], low * sine_[j]);
  }

 private:
  [[nodiscard]] float normalised(size_t e) const {
    if (gamma_ == nullptr) return x_[e];
    const float y = x_[e] * r_;
    return y * gamma_[e];
  }

  const float* x_;
  const float* gamma_;
  size_t half_;
  float r_;
  const float* cosine_;
  const float* sine_;
};

std::byte* page_side(const RopeArgs& args, size_t t, size_t g, size_t offset) {
  const size_t page = static_cast<size_t>(args.position[t]) / kPageTokens;
  return args.pages[t][page] + offset + g * page_side_bytes(static_cast<size_t>(args.head_width));
}

void rope_query(const RopeArgs& args, const float* x, size_t t, size_t h) {
  const auto width = static_cast<size_t>(args.head_width);
  const RotatedHead y(args, x, t, args.query_gamma);
  int8_t* query = args.query + (t * static_cast<size_t>(args.query_heads) + h) * width;
  for (size_t e = 0; e < width; e++) query[e] = requantise_s8(y[e], args.query_inverse_scale[h]);
  if (args.bias_terms == nullptr) return;
  const size_t half = width / 2;
  const size_t g = h / (static_cast<size_t>(args.query_heads) / static_cast<size_t>(args.kv_heads));
  const float* cosine_terms = args.bias_terms + g * width;
  const float* sine_terms = cosine_terms + static_cast<size_t>(args.kv_heads) * width;
  const size_t first = (t * static_cast<size_t>(args.query_heads) + h) * width;
  for (size_t j = 0; j < half; j++) {
    const float low = y[j];
    const float high = y[j + half];
    const float a = __builtin_fmaf(low, cosine_terms[j], high * cosine_terms[j + half]);
    const float b = __builtin_fmaf(high, sine_terms[j], -(low * sine_terms[j + half]));
    store_signed_code(args.bias_query, first + j, a, args.bias_inverse_scale[h]);
    store_signed_code(args.bias_query, first + j + half, b, args.bias_inverse_scale[h]);
  }
}

void rope_key(const RopeArgs& args, const float* x, size_t t, size_t g) {
  const auto width = static_cast<size_t>(args.head_width);
  const size_t slot = static_cast<size_t>(args.position[t]) % kPageTokens;
  const RotatedHead rotated(args, x, t, args.key_gamma);
  auto* page = reinterpret_cast<uint8_t*>(page_side(args, t, g, args.key_offset));
  for (size_t e = 0; e < width; e++) {
    float y = rotated[e];
    if (args.key_shift != nullptr) y = y - args.key_shift[g * width + e];
    page[key_page_index(slot, e, width)] = requantise_u8(y, args.key_inverse_scale[g], args.key_zero_point[g]);
  }
}

void rope_value(const RopeArgs& args, const float* x, size_t t, size_t g) {
  const size_t slot = static_cast<size_t>(args.position[t]) % kPageTokens;
  auto* page = reinterpret_cast<int8_t*>(page_side(args, t, g, args.value_offset));
  for (size_t e = 0; e < static_cast<size_t>(args.head_width); e++) {
    const uint8_t code = requantise_u8(x[e], args.value_inverse_scale[g], args.value_zero_point[g] + 128.0F);
    page[value_page_index(slot, e)] = static_cast<int8_t>(code - 128);
  }
}

}  // namespace

void embed_ref(const EmbedArgs& args, Slice slice) {
  const auto width = static_cast<size_t>(args.width);
  const Slice::Range rows = slice.range(static_cast<size_t>(args.tokens));
  for (size_t t = rows.begin; t < rows.end; t++) {
    const auto id = static_cast<size_t>(args.id[t]);
    for (size_t d = 0; d < width; d++) {
      args.output[t * width + d] = static_cast<float>(args.table[packed_int8_index(id, d, width)]) * args.scale[id];
    }
  }
}

void gather_ref(const GatherArgs& args, Slice slice) {
  const Slice::Range rows = slice.range(static_cast<size_t>(args.tokens));
  for (size_t t = rows.begin; t < rows.end; t++) {
    const std::byte* row = args.input + static_cast<size_t>(args.row[t]) * args.row_bytes;
    std::copy_n(row, args.row_bytes, args.output + t * args.row_bytes);
  }
}

void rms_norm_ref(const RmsNormArgs& args, Slice slice) {
  const auto width = static_cast<size_t>(args.width);
  const Slice::Range rows = slice.range(static_cast<size_t>(args.tokens));
  for (size_t t = rows.begin; t < rows.end; t++) {
    const float* x = args.input + t * width;
    const float r = inverse_rms(x, width, args.epsilon);
    for (size_t d = 0; d < width; d++) {
      float y = x[d] * r;
      if (args.gamma != nullptr) y = y * args.gamma[d];
      store_code(args.output, t * width + d, y, args.inverse_scale, args.zero_point);
    }
  }
}

void rope_ref(const RopeArgs& args, Slice slice) {
  const auto query_heads = static_cast<size_t>(args.query_heads);
  const auto kv_heads = static_cast<size_t>(args.kv_heads);
  const size_t heads = query_heads + 2 * kv_heads;
  const Slice::Range units = slice.range(static_cast<size_t>(args.tokens) * heads);
  for (size_t unit = units.begin; unit < units.end; unit++) {
    const size_t t = unit / heads;
    const size_t head = unit % heads;
    const float* x = args.qkv + unit * static_cast<size_t>(args.head_width);
    if (head < query_heads) {
      rope_query(args, x, t, head);
    } else if (head < query_heads + kv_heads) {
      rope_key(args, x, t, head - query_heads);
    } else {
      rope_value(args, x, t, head - query_heads - kv_heads);
    }
  }
}

void swiglu_ref(const SwiGluArgs& args, Slice slice) {
  const auto width = static_cast<size_t>(args.width);
  const Slice::Range elements = slice.range(static_cast<size_t>(args.tokens) * width);
  for (size_t i = elements.begin; i < elements.end; i++) {
    const size_t in = i / width * args.input_stride + i % width;
    const size_t out = i / width * args.output_stride + i % width;
    store_code(args.output, out, silu(args.gate[in]) * args.up[in], args.inverse_scale, args.zero_point);
  }
}

}  // namespace hotaru
