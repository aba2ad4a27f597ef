// Matrix products of the float executor, by OpenBLAS. Each call is a tile of fixed size on one thread of our pool.
#include <algorithm>
#include <cmath>
#include <vector>

#include "compiler/blas.h"
#include "compiler/float_ops.h"

namespace hotaru {
namespace {

constexpr size_t kRowTile = 256;
constexpr size_t kColumnTile = 512;
constexpr size_t kQueryTile = 128;

void linear_tile(const FloatLinear& linear, size_t row, size_t column) {
  const size_t rows = std::min(kRowTile, linear.rows - row);
  const size_t columns = std::min(kColumnTile, linear.n - column);
  float* y = linear.y + row * linear.n + column;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas_int(rows), blas_int(columns), blas_int(linear.k), 1.0F,
              linear.x + row * linear.k, blas_int(linear.k), linear.w + column * linear.k, blas_int(linear.k), 0.0F, y,
              blas_int(linear.n));
  if (linear.bias == nullptr) return;
  const float* bias = linear.bias + column;
  for (size_t i = 0; i < rows; i++) {
    for (size_t j = 0; j < columns; j++) y[i * linear.n + j] += bias[j];
  }
}

// Queries [first, first + count) of one head in one segment, which begins at row `segment` and sees `shared` rows from
// `root` on before its own.
struct QueryTile {
  size_t segment, first, count, head;
  size_t root, shared;
};

std::vector<QueryTile> query_tiles(std::span<const int64_t> lengths, std::span<const int64_t> shared, size_t heads) {
  std::vector<QueryTile> tiles;
  size_t segment = 0;
  size_t root = 0;
  for (size_t i = 0; i < lengths.size(); i++) {
    const auto length = static_cast<size_t>(lengths[i]);
    const size_t before = shared.empty() ? 0 : static_cast<size_t>(shared[i]);
    if (before == 0) root = segment;
    for (size_t head = 0; head < heads; head++) {
      for (size_t first = 0; first < length; first += kQueryTile) {
        tiles.push_back({segment, first, std::min(kQueryTile, length - first), head, root, before});
      }
    }
    segment += length;
  }
  return tiles;
}

// Matrices by their first element and the distance between rows. add_scores: out += scale * left * right^T; mixture_of:
// out = keep * out + left * right.
struct Product {
  const float* left;
  size_t left_stride;
  const float* right;
  size_t right_stride;
  float* out;
  size_t out_stride;
};
struct ProductShape {
  size_t rows, columns, inner;
};

// keep 0: out was nothing before.
void add_scores(const Product& product, const ProductShape& shape, float scale, float keep) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas_int(shape.rows), blas_int(shape.columns),
              blas_int(shape.inner), scale, product.left, blas_int(product.left_stride), product.right,
              blas_int(product.right_stride), keep, product.out, blas_int(product.out_stride));
}

void mixture_of(const Product& product, const ProductShape& shape, float keep) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, blas_int(shape.rows), blas_int(shape.columns),
              blas_int(shape.inner), 1.0F, product.left, blas_int(product.left_stride), product.right,
              blas_int(product.right_stride), keep, product.out, blas_int(product.out_stride));
}

// A tile's place in its attention.
struct TilePlace {
  size_t row_width, kv_row_width, prefix, shared, keys;
  size_t query;         // of the first element in [T, H * E]
  size_t key;           // in [T, G * E]: the segment's first row
  size_t shared_key;    // the first of the rows that it shares
  size_t constant_key;  // in [P, G * E]

  TilePlace(const FloatAttention& attention, const QueryTile& tile)
      : row_width(attention.heads * attention.head_width),
        kv_row_width(attention.kv_heads * attention.head_width),
        prefix(attention.prefix_tokens),
        shared(tile.shared),
        keys(tile.first + tile.count),
        query((tile.segment + tile.first) * row_width + tile.head * attention.head_width),
        key(0),
        shared_key(0),
        constant_key(tile.head / (attention.heads / attention.kv_heads) * attention.head_width) {
    key = tile.segment * kv_row_width + constant_key;
    shared_key = tile.root * kv_row_width + constant_key;
  }
  [[nodiscard]] size_t stride() const { return prefix + shared + keys; }
};

// scores [count, prefix + shared + keys] = q k^T / sqrt(E), and the product of the split bias.
void tile_scores(const FloatAttention& attention, const QueryTile& tile, const TilePlace& place, float* scores) {
  const size_t width = attention.head_width;
  const size_t stride = place.stride();
  const float scale = 1.0F / std::sqrt(static_cast<float>(width));
  const auto add = [&](const float* query, const float* prefix_key, const float* key, float keep) {
    const float* left = query + place.query;
    if (place.prefix > 0) {
      add_scores({left, place.row_width, prefix_key + place.constant_key, place.kv_row_width, scores, stride},
                 {tile.count, place.prefix, width}, scale, keep);
    }
    if (place.shared > 0) {
      add_scores({left, place.row_width, key + place.shared_key, place.kv_row_width, scores + place.prefix, stride},
                 {tile.count, place.shared, width}, scale, keep);
    }
    add_scores(
        {left, place.row_width, key + place.key, place.kv_row_width, scores + place.prefix + place.shared, stride},
        {tile.count, place.keys, width}, scale, keep);
  };
  add(attention.query, attention.prefix_key, attention.key, 0.0F);
  if (attention.bias_query != nullptr) add(attention.bias_query, attention.prefix_bias_key, attention.bias_key, 1.0F);
}

// output = softmax(scores) v over the prefix, shared rows and keys [0, position]; scores: room for as many numbers as
// scores_size() says.
void attention_tile(const FloatAttention& attention, const QueryTile& tile, float* scores) {
  const TilePlace place(attention, tile);
  const size_t width = attention.head_width;
  const size_t stride = place.stride();
  const size_t before = place.prefix + place.shared;
  float* output = attention.output + place.query;
  tile_scores(attention, tile, place, scores);
  float sums[kQueryTile];
  for (size_t i = 0; i < tile.count; i++) {
    sums[i] = exponentiate_row({scores + i * stride, stride}, before + tile.first + i + 1);
  }
  const auto add = [&](const float* part, const float* value, size_t count, float keep) {
    mixture_of({part, stride, value, place.kv_row_width, output, place.row_width}, {tile.count, width, count}, keep);
  };
  add(scores + before, attention.value + place.key, place.keys, 0.0F);
  if (place.shared > 0) add(scores + place.prefix, attention.value + place.shared_key, place.shared, 1.0F);
  if (place.prefix > 0) add(scores, attention.prefix_value + place.constant_key, place.prefix, 1.0F);
  for (size_t i = 0; i < tile.count; i++) {
    for (size_t j = 0; j < width; j++) output[i * place.row_width + j] /= sums[i];
  }
}

size_t scores_size(const FloatAttention& attention, const QueryTile& tile) {
  return tile.count * (attention.prefix_tokens + tile.shared + tile.first + tile.count);
}

}  // namespace

void float_linear(ThreadPool& pool, const FloatLinear& linear) {
  use_one_blas_thread();
  const size_t column_tiles = (linear.n + kColumnTile - 1) / kColumnTile;
  const size_t row_tiles = (linear.rows + kRowTile - 1) / kRowTile;
  for_each_task(pool, row_tiles * column_tiles, [&](size_t task, int) {
    linear_tile(linear, task / column_tiles * kRowTile, task % column_tiles * kColumnTile);
  });
}

void add_outer_products(ThreadPool& pool, const OuterProducts& products) {
  use_one_blas_thread();
  const size_t column_tiles = (products.n + kColumnTile - 1) / kColumnTile;
  const size_t row_tiles = (products.m + kRowTile - 1) / kRowTile;
  for_each_task(pool, row_tiles * column_tiles, [&](size_t task, int) {
    const size_t row = task / column_tiles * kRowTile;
    const size_t column = task % column_tiles * kColumnTile;
    if (products.upper_triangle_only && column + kColumnTile <= row) return;
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, blas_int(std::min(kRowTile, products.m - row)),
                blas_int(std::min(kColumnTile, products.n - column)), blas_int(products.rows), 1.0F, products.a + row,
                blas_int(products.m), products.b + column, blas_int(products.n), 1.0F,
                products.sum + row * products.n + column, blas_int(products.n));
  });
}

void float_attention(ThreadPool& pool, const FloatAttention& attention, std::span<const int64_t> lengths,
                     std::span<const int64_t> shared) {
  use_one_blas_thread();
  const std::vector<QueryTile> tiles = query_tiles(lengths, shared, attention.heads);
  size_t most_scores = 0;
  for (const QueryTile& tile : tiles) most_scores = std::max(most_scores, scores_size(attention, tile));
  std::vector<std::vector<float>> scores(static_cast<size_t>(pool.size()));
  for_each_task(pool, tiles.size(), [&](size_t task, int thread) {
    std::vector<float>& room = scores[static_cast<size_t>(thread)];
    room.resize(most_scores);
    attention_tile(attention, tiles[task], room.data());
  });
}

}  // namespace hotaru
