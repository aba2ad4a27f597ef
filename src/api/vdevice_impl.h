// What a VDevice keeps: its settings, and which models are loaded, so that a HEF is loaded once.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "genai/engine.h"
#include "hotaru/vdevice.h"
#include "tensor/isa.h"

namespace hotaru {

// A model on a device; LLMs share it. Gives its memory back when the last one goes.
class LoadedModel {
 public:
  static Result<std::shared_ptr<LoadedModel>> create(std::shared_ptr<VDevice> device, LanguageModel model);
  LoadedModel(const LoadedModel&) = delete;
  LoadedModel& operator=(const LoadedModel&) = delete;
  ~LoadedModel();

  [[nodiscard]] const std::shared_ptr<Engine>& engine() const { return engine_; }
  [[nodiscard]] const LanguageModel& model() const { return engine_->model(); }

 private:
  LoadedModel(std::shared_ptr<VDevice> device, std::unique_ptr<Engine> engine);
  std::shared_ptr<VDevice> device_;
  std::shared_ptr<Engine> engine_;
  uint64_t bytes_;
};

class VDevice::Impl {
 public:
  Impl(int threads, Isa isa, uint64_t memory_bytes) : threads_(threads), isa_(isa), memory_bytes_(memory_bytes) {}

  // The model of that file, loaded unless it is there already. `device` owns this.
  Result<std::shared_ptr<LoadedModel>> load(const std::shared_ptr<VDevice>& device, const std::string& hef_path);

  [[nodiscard]] int threads() const { return threads_; }
  [[nodiscard]] Isa isa() const { return isa_; }
  [[nodiscard]] uint64_t memory_bytes() const { return memory_bytes_; }
  [[nodiscard]] uint64_t used_bytes() const;
  void take_bytes(uint64_t bytes);
  void give_back_bytes(uint64_t bytes);

 private:
  const int threads_;
  const Isa isa_;
  const uint64_t memory_bytes_;
  std::mutex load_mutex_;                                     // one load at a time; guards models_
  std::map<std::string, std::weak_ptr<LoadedModel>> models_;  // by identity of the file
  mutable std::mutex bytes_mutex_;
  uint64_t used_bytes_ = 0;
};

}  // namespace hotaru
