// OpenBLAS the way this project calls it: one thread a call, on tiles whose size does not depend on the thread count.
// OpenBLAS' own threading would cut the work by the number of threads, and the result with it.
#pragma once

#include <cblas.h>

#include <cstddef>

namespace hotaru {

inline blasint blas_int(size_t count) { return static_cast<blasint>(count); }

// Before any other call.
inline void use_one_blas_thread() {
  static const bool once = [] {
    openblas_set_num_threads(1);
    return true;
  }();
  (void)once;
}

// OpenBLAS starts threads of its own when it is loaded, and they spin for a tenth of a second, on the processors that
// read and check a model meanwhile. For a program's main(); other builds of OpenBLAS have no threads to stop.
void stop_blas_threads();

}  // namespace hotaru
