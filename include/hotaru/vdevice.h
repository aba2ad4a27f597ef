// The device: processors, an instruction set and a budget of memory that the models on it share.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "hotaru/expected.h"
#include "hotaru/export.h"

namespace hotaru {

struct VDeviceParams {
  int threads = 0;            // 0: HOTARU_THREADS, or all processors that this process may use; at most 1024
  std::string isa;            // "ref", "avx2", "avx512_vnni", ...; "": HOTARU_ISA, or the best one here
  uint64_t memory_bytes = 0;  // of all models on the device; 0: the machine's memory
};

// Several models live on one device, each with its weights, contexts and adapters. A model that does not fit what the
// others leave of the budget is refused, with the bytes needed and those available.
//
// Threads: every method may be called from any thread. Lifetime: models keep their device alive.
class HOTARU_API VDevice {
 public:
  // INVALID_ARGUMENT: threads out of range. NOT_FOUND or NOT_SUPPORTED: an instruction set that this machine lacks; the
  // message lists those it has.
  static Expected<std::shared_ptr<VDevice>> create_shared(const VDeviceParams& params = {});
  VDevice(const VDevice&) = delete;
  VDevice& operator=(const VDevice&) = delete;
  ~VDevice();

  [[nodiscard]] int threads() const;
  [[nodiscard]] std::string isa() const;
  [[nodiscard]] uint64_t memory_bytes() const;       // the budget
  [[nodiscard]] uint64_t used_memory_bytes() const;  // by the models that are loaded

  class HOTARU_HIDDEN Impl;
  explicit VDevice(std::unique_ptr<Impl> impl);
  [[nodiscard]] Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace hotaru
