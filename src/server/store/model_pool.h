// Models in memory: loaded when asked for, one engine for a HEF whatever adapters are in use, given back when nobody
// has used them for their keep_alive, or when another one needs the memory.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "genai/engine.h"
#include "server/store/model_store.h"

namespace hotaru::server {

// Ollama's: a duration, negative forever, zero unloads when the last user has gone.
using KeepAlive = std::chrono::milliseconds;
// A number of seconds or a Go duration ("5m", "1h30m", "-1").
Result<KeepAlive> parse_keep_alive(const Json& value);
Result<KeepAlive> parse_keep_alive(std::string_view text);

struct ModelPoolOptions {
  uint64_t memory_bytes = 0;  // of all devices together; 0: what the machine has
  int threads = 0;
  Isa isa = best_isa();
  KeepAlive keep_alive = std::chrono::minutes(5);
  int parallel = 0;  // EngineOptions.running_requests
  int queued = 512;  // EngineOptions.queued_requests
};

// Keeps the model loaded while it lives; may outlive the pool. Letting go never waits for the engine to end.
struct ModelLease {
  StoredModel stored;
  std::shared_ptr<Engine> engine;
  int adapter = kNoAdapter;
  std::chrono::nanoseconds load_time{0};  // that this request waited for a load; 0: it was there
  std::shared_ptr<void> hold;             // counts the user; the keep_alive begins when the last one goes
};

struct LoadedModel {
  StoredModel stored;  // by the name of the last request: copies, adapters and made models share their HEF's engine
  uint64_t device_bytes = 0;
  int context_tokens = 0;
  std::optional<std::chrono::system_clock::time_point> expires_at;  // nothing: never
  int users = 0;
  EngineState state;
  DeviceInfo device;
};

class ModelPool {
 public:
  static std::unique_ptr<ModelPool> create(ModelStore& store, const ModelPoolOptions& options);
  virtual ~ModelPool() = default;
  [[nodiscard]] virtual ModelStore& store() = 0;
  // Blocks while the model loads. kNotFound; kNoMemory with the bytes needed and there, when nothing idle is left to
  // give back.
  virtual Result<ModelLease> acquire(std::string_view name, std::optional<KeepAlive> keep_alive = {}) = 0;
  // As soon as nobody uses it. False: it was not loaded.
  virtual bool unload(std::string_view name) = 0;
  [[nodiscard]] virtual std::vector<LoadedModel> loaded() const = 0;
  // No more loads; waits until every reply has ended or `grace` is over.
  virtual void shut_down(std::chrono::milliseconds grace) = 0;
};

}  // namespace hotaru::server
