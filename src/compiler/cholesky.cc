#include "compiler/cholesky.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "compiler/blas.h"
#include "compiler/float_ops.h"

namespace hotaru {
namespace {

constexpr size_t kBlock = 192;  // columns factorised at a time
constexpr size_t kTile = 384;   // rows and columns of one update

// Columns [first, first + count) above their diagonal block: R[0:first, block] = A[0:first, block] R_block^-T.
void solve_above(std::span<double> a, size_t n, Slice::Range block, ThreadPool& pool) {
  const size_t tiles = (block.begin + kTile - 1) / kTile;
  for_each_task(pool, tiles, [&](size_t tile, int) {
    const size_t row = tile * kTile;
    cblas_dtrsm(CblasRowMajor, CblasRight, CblasUpper, CblasTrans, CblasNonUnit,
                blas_int(std::min(kTile, block.begin - row)), blas_int(block.end - block.begin), 1.0,
                &a[block.begin * n + block.begin], blas_int(n), &a[row * n + block.begin], blas_int(n));
  });
}

// A[0:first, 0:first] -= R[0:first, block] R[0:first, block]^T, tiles on and above the diagonal.
void update_before(std::span<double> a, size_t n, Slice::Range block, ThreadPool& pool) {
  std::vector<Slice::Range> corners;
  for (size_t row = 0; row < block.begin; row += kTile) {
    for (size_t column = row; column < block.begin; column += kTile) corners.push_back({row, column});
  }
  for_each_task(pool, corners.size(), [&](size_t task, int) {
    const auto [row, column] = corners[task];
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, blas_int(std::min(kTile, block.begin - row)),
                blas_int(std::min(kTile, block.begin - column)), blas_int(block.end - block.begin), -1.0,
                &a[row * n + block.begin], blas_int(n), &a[column * n + block.begin], blas_int(n), 1.0,
                &a[row * n + column], blas_int(n));
  });
}

}  // namespace

bool factorise_upper(double* a, size_t n, size_t stride) {
  std::vector<double> above(n);
  for (size_t j = n; j-- > 0;) {
    const double pivot = a[j * stride + j];
    if (!(pivot > 0) || !std::isfinite(pivot)) return false;
    const double root = std::sqrt(pivot);
    a[j * stride + j] = root;
    for (size_t i = 0; i < j; i++) above[i] = a[i * stride + j] /= root;
    for (size_t i = 0; i < j; i++) {
      double* row = a + i * stride;
      for (size_t k = i; k < j; k++) row[k] -= above[i] * above[k];
    }
  }
  return true;
}

bool factorise_upper(std::span<double> a, size_t n, ThreadPool& pool) {
  CHECK_EQ(a.size(), n * n);
  use_one_blas_thread();
  for (size_t end = n; end > 0;) {
    const Slice::Range block{(end - 1) / kBlock * kBlock, end};
    if (!factorise_upper(&a[block.begin * n + block.begin], end - block.begin, n)) return false;
    solve_above(a, n, block, pool);
    update_before(a, n, block, pool);
    end = block.begin;
  }
  return true;
}

}  // namespace hotaru
