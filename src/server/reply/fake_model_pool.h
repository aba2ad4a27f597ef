// For tests of handlers: one model, "demo", on a fake device with the demo model's tokenizer and chat template. It says
// `script` after every prompt that the template has opened a reply to, then the end of turn; without a script it says
// pseudo-random things.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "genai/fake_device.h"
#include "genai/scripted_reply.h"
#include "server/store/model_pool.h"
#include "text/text_bundle.h"

#ifndef HOTARU_SOURCE_DIR  // Defined for test programs; not for the check that headers compile alone.
#define HOTARU_SOURCE_DIR "."
#endif

namespace hotaru::server {

struct FakeModel {
  std::string script = {};
  int context_tokens = 2048;
  std::string chat_template = {};  // instead of the demo model's
  EngineOptions engine = {};
  std::function<void()> on_step = {};  // on the engine's thread
};

class FakeModelPool : public ModelPool {
 public:
  explicit FakeModelPool(FakeModel options = {})
      : folder_(std::filesystem::temp_directory_path() / fmt::format("hotaru_pool_{}_{}", ::getpid(), count++)),
        store_(*ModelStore::open(folder_)) {
    stored.name = *ModelName::parse("demo");
    auto bundle = *TextBundle::load(std::string(HOTARU_SOURCE_DIR) + "/models/demo");
    if (!options.chat_template.empty()) bundle.chat_template = options.chat_template;
    LanguageModel::Parts parts;
    parts.name = "demo";
    parts.tokenizer = *Tokenizer::create(bundle.tokenizer_json);
    parts.chat_template = *ChatTemplate::create(bundle);
    parts.defaults.eos_ids = {kEndOfTurn};
    auto fake = std::make_unique<FakeDevice>(4096, options.context_tokens);
    fake->set_adapters({"polite"});
    if (!options.script.empty()) fake->set_favourite(says(*parts.tokenizer, options.script));
    if (options.on_step) fake->set_on_step(options.on_step);
    device = fake.get();
    parts.device = std::move(fake);
    engine = *Engine::create(*LanguageModel::from_parts(std::move(parts)), options.engine);
  }
  ~FakeModelPool() override {
    engine.reset();
    std::filesystem::remove_all(folder_);
  }
  FakeModelPool(const FakeModelPool&) = delete;
  FakeModelPool& operator=(const FakeModelPool&) = delete;

  [[nodiscard]] ModelStore& store() override { return store_; }
  Result<ModelLease> acquire(std::string_view name, std::optional<KeepAlive> keep_alive) override {
    TRY_ASSIGN(const ModelName parsed, ModelName::parse(name));
    if (parsed.name != "demo" || engine == nullptr) {
      return make_error(ErrorKind::kNotFound, "model '{}' not found", name);
    }
    {
      const std::lock_guard lock(mutex_);
      last_keep_alive = keep_alive;
    }
    ModelLease lease;
    lease.stored = stored;
    lease.engine = engine;
    if (!parsed.adapter.empty()) {
      TRY_ASSIGN(lease.adapter, find_adapter(engine->model().device().info(), parsed.adapter));
    }
    users++;
    lease.hold = std::shared_ptr<void>(nullptr, [this](void*) { users--; });
    return lease;
  }
  bool unload(std::string_view name) override {
    unloaded.emplace_back(name);
    return true;
  }
  [[nodiscard]] std::vector<LoadedModel> loaded() const override { return {}; }
  void shut_down(std::chrono::milliseconds grace) override { engine->drain(grace); }

  StoredModel stored;  // of every lease to come
  std::shared_ptr<Engine> engine;
  FakeDevice* device = nullptr;
  std::optional<KeepAlive> last_keep_alive;
  std::vector<std::string> unloaded;
  // A lease may end a moment after its answer was given.
  [[nodiscard]] bool is_unused_soon() const {
    for (int i = 0; i < 3000 && users > 0; i++) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return users == 0;
  }

  std::atomic<int> users{0};

 private:
  static inline int count = 0;  // of the process's pools
  const std::filesystem::path folder_;
  ModelStore store_;
  std::mutex mutex_;  // of last_keep_alive, while replies begin on several threads
};

}  // namespace hotaru::server
