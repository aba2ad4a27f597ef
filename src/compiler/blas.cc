#include "compiler/blas.h"

extern "C" [[gnu::weak]] int blas_thread_shutdown_();

namespace hotaru {

void stop_blas_threads() {
  use_one_blas_thread();
  if (blas_thread_shutdown_ != nullptr) (void)blas_thread_shutdown_();
}

}  // namespace hotaru
