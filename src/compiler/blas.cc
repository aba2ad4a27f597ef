#include "compiler/blas.h"

extern "C" [[gnu::weak]] int end_blas_threads() asm("blas_thread_shutdown_");

namespace hotaru {

void stop_blas_threads() {
  use_one_blas_thread();
  if (end_blas_threads != nullptr) (void)end_blas_threads();
}

}  // namespace hotaru
