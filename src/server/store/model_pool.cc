#include "server/store/model_pool.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/size_text.h"
#include "base/thread_pool.h"
#include "device/machine_memory.h"
#include "format/hef.h"
#include "server/store/resident_models.h"
#include "server/store/store_files.h"

namespace hotaru::server {
namespace {

using Clock = ResidentModel::Clock;
using Engines = std::vector<std::shared_ptr<Engine>>;

// A file of the store that cannot be read is no fault of the request's.
Error as_damage(Error error) {
  if (error.kind == ErrorKind::kInvalid) error.kind = ErrorKind::kIo;
  return error;
}

// Before loading: what the HEF's plan says, with as many threads as will play it.
Result<uint64_t> planned_bytes(const std::string& path, int threads) {
  const Result<HefFile> hef = HefFile::open(path, {.verify_checksums = false});
  if (!hef) return as_damage(hef.error());
  const fb::MemoryPlan& plan = *hef->meta().memory();
  const auto count = static_cast<uint64_t>(threads > 0 ? threads : default_thread_count());
  return plan.total() + plan.workspace_per_thread() * (count - 1);  // both below 2^48, as checked
}

// Shared by the pool and its leases. One thread ends engines: it waits for their own threads, and nobody else has to.
class PoolState : public std::enable_shared_from_this<PoolState> {
 public:
  PoolState(ModelStore& store, const ModelPoolOptions& options) : store_(store), options_(options) {
    if (options_.memory_bytes == 0) options_.memory_bytes = machine_memory_bytes();
  }

  ModelStore& store() { return store_; }
  Result<ModelLease> acquire(std::string_view name, std::optional<KeepAlive> keep_alive);
  bool unload(std::string_view name);
  [[nodiscard]] std::vector<LoadedModel> loaded() const;
  void shut_down(std::chrono::milliseconds grace);
  void play();  // the thread
  void stop();

 private:
  using Lock = std::unique_lock<std::mutex>;
  Result<std::shared_ptr<Engine>> load(Lock& lock, const StoredModel& stored, const std::string& key);
  Result<std::shared_ptr<Engine>> open_in_room(Lock& lock, const StoredModel& stored, const std::string& key);
  Result<std::shared_ptr<Engine>> open_engine(const std::string& path, uint64_t memory_bytes) const;
  Result<void> make_room(Lock& lock, const StoredModel& stored, uint64_t bytes);
  Result<ModelLease> lease(ResidentModel& resident, const StoredModel& stored, std::optional<KeepAlive> keep_alive);
  void release(const std::string& key);

  ModelStore& store_;
  ModelPoolOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  ResidentModels residents_;
  Engines ending_;  // of the thread
  int ends_now_ = 0;
  bool is_loading_ = false, is_closed_ = false, is_stopping_ = false;
};

Result<ModelLease> PoolState::acquire(std::string_view name, std::optional<KeepAlive> keep_alive) {
  const Clock::time_point start = Clock::now();
  TRY_ASSIGN(const StoredModel stored, store_.find(name));
  TRY_ASSIGN(const FileStamp stamp, stamp_of(stored.hef_path));
  const std::string key = stamp.text();
  Lock lock(mutex_);
  bool waited = false;
  while (true) {
    if (is_closed_) return make_error(ErrorKind::kBusy, "the server is shutting down");
    ResidentModel* resident = residents_.find(key);
    if (resident != nullptr && resident->engine != nullptr) {
      TRY_ASSIGN(ModelLease leased, lease(*resident, stored, keep_alive));
      if (waited) leased.load_time = Clock::now() - start;
      return leased;
    }
    waited = true;
    if (resident == nullptr) {
      TRY_ASSIGN(const auto loaded, load(lock, stored, key));
      continue;
    }
    const std::shared_ptr<ModelLoad> pending = resident->load;
    changed_.wait(lock, [&] { return pending->is_done; });
    if (pending->error) return *pending->error;
  }
}

Result<std::shared_ptr<Engine>> PoolState::load(Lock& lock, const StoredModel& stored, const std::string& key) {
  const auto load = std::make_shared<ModelLoad>();
  ResidentModel added;
  added.key = key;
  added.stored = stored;
  added.load = load;
  added.keep_alive = options_.keep_alive;
  added.last_used = Clock::now();
  residents_.add(std::move(added));
  // One load at a time: what is left for it is then known exactly.
  changed_.wait(lock, [&] { return !is_loading_; });
  is_loading_ = true;
  const Result<std::shared_ptr<Engine>> opened = open_in_room(lock, stored, key);
  is_loading_ = false;
  load->is_done = true;
  if (opened) {
    ResidentModel& resident = *residents_.find(key);
    resident.engine = *opened;
    resident.load = nullptr;
    resident.last_used = Clock::now();
  } else {
    load->error = opened.error();
    residents_.erase(key);
  }
  changed_.notify_all();
  return opened;
}

// Idle models go when the plan says so, and once more when the device needs more than its plan.
Result<std::shared_ptr<Engine>> PoolState::open_in_room(Lock& lock, const StoredModel& stored, const std::string& key) {
  lock.unlock();
  Result<uint64_t> bytes = planned_bytes(stored.hef_path, options_.threads);
  lock.lock();
  if (!bytes) return std::move(bytes).error();
  while (true) {
    TRY(make_room(lock, stored, *bytes));
    const uint64_t there = options_.memory_bytes - residents_.bytes();  // what loads counts for nothing yet
    lock.unlock();
    Result<std::shared_ptr<Engine>> engine = open_engine(stored.hef_path, there);
    lock.lock();
    if (engine) residents_.find(key)->bytes = (*engine)->model().device().info().total_bytes;
    const bool may_help = !engine && engine.error().kind == ErrorKind::kNoMemory && residents_.has_idle();
    if (!may_help) return engine;
    *bytes = std::max(*bytes, there) + 1;  // at least one has to go
  }
}

Result<std::shared_ptr<Engine>> PoolState::open_engine(const std::string& path, uint64_t memory_bytes) const {
  DeviceOptions device;
  device.isa = options_.isa;
  device.threads = options_.threads;
  device.memory_bytes = memory_bytes;
  EngineOptions engine;
  engine.running_requests = options_.parallel;
  engine.queued_requests = options_.queued;
  Result<LanguageModel> model = LanguageModel::open(path, device);
  if (!model) return as_damage(std::move(model).error());
  TRY_ASSIGN(std::unique_ptr<Engine> created, Engine::create(*std::move(model), engine));
  return std::shared_ptr<Engine>(std::move(created));
}

Result<void> PoolState::make_room(Lock& lock, const StoredModel& stored, uint64_t bytes) {
  if (!residents_.make_room(bytes, options_.memory_bytes, ending_)) {
    return make_error(ErrorKind::kNoMemory,
                      "model '{}' needs {} bytes of device memory ({}), available are {} of {} bytes: models in use "
                      "hold the rest",
                      stored.name.text(), bytes, size_text(bytes),
                      options_.memory_bytes - std::min(options_.memory_bytes, residents_.bytes()),
                      options_.memory_bytes);
  }
  changed_.notify_all();
  changed_.wait(lock, [&] { return ending_.empty() && ends_now_ == 0; });  // their memory is there only then
  return {};
}

Result<ModelLease> PoolState::lease(ResidentModel& resident, const StoredModel& stored,
                                    std::optional<KeepAlive> keep_alive) {
  ModelLease leased;
  leased.stored = stored;
  leased.engine = resident.engine;
  if (!stored.adapter.empty()) {
    TRY_ASSIGN(leased.adapter, find_adapter(resident.engine->model().device().info(), stored.adapter));
  }
  resident.users++;
  resident.stored = stored;
  resident.leaves = false;
  if (keep_alive) resident.keep_alive = *keep_alive;
  leased.hold =
      std::shared_ptr<void>(nullptr, [state = shared_from_this(), key = resident.key](void*) { state->release(key); });
  return leased;
}

void PoolState::release(const std::string& key) {
  const Lock lock(mutex_);
  ResidentModel* resident = residents_.find(key);
  if (resident == nullptr) return;
  resident->users--;
  resident->last_used = Clock::now();
  changed_.notify_all();
}

bool PoolState::unload(std::string_view name) {
  const Result<StoredModel> stored = store_.find(name);
  const Result<FileStamp> stamp = stored ? stamp_of(stored->hef_path) : stored.error();
  const Result<ModelName> parsed = ModelName::parse(name);
  const Lock lock(mutex_);
  ResidentModel* resident = stamp ? residents_.find(stamp->text()) : nullptr;
  if (resident == nullptr && parsed) resident = residents_.find_by_name(parsed->text());
  if (resident == nullptr) return false;
  residents_.let_go(*resident, ending_);
  changed_.notify_all();
  return true;
}

std::vector<LoadedModel> PoolState::loaded() const {
  std::vector<LoadedModel> models;
  Engines engines;
  {
    const Lock lock(mutex_);
    const Clock::time_point now = Clock::now();
    for (const ResidentModel& resident : residents_.all()) {
      if (resident.engine == nullptr) continue;
      LoadedModel& model = models.emplace_back();
      model.stored = resident.stored;
      model.device_bytes = resident.bytes;
      model.users = resident.users;
      if (const auto expires = resident.expires(now)) {
        model.expires_at = std::chrono::system_clock::now() +
                           std::chrono::duration_cast<std::chrono::system_clock::duration>(*expires - now);
      }
      engines.push_back(resident.engine);
    }
  }
  // Without the lock: an engine answers between two steps.
  for (size_t i = 0; i < models.size(); i++) {
    models[i].device = engines[i]->model().device().info();
    models[i].context_tokens = models[i].device.context_tokens;
    models[i].state = engines[i]->state();
  }
  return models;
}

void PoolState::shut_down(std::chrono::milliseconds grace) {
  Lock lock(mutex_);
  is_closed_ = true;
  changed_.notify_all();
  changed_.wait_for(lock, grace, [&] { return residents_.users() == 0; });
}

void PoolState::stop() {
  const Lock lock(mutex_);
  is_closed_ = is_stopping_ = true;
  changed_.notify_all();
}

// An engine that a lease or loaded() still holds for a moment waits for its turn: the last hold must be this thread's.
void PoolState::play() {
  constexpr auto kRetry = std::chrono::milliseconds(5);
  Lock lock(mutex_);
  while (true) {
    if (is_stopping_) {
      residents_.take_all(ending_);
    } else {
      residents_.expire(Clock::now(), ending_);
    }
    const auto held = [](const std::shared_ptr<Engine>& engine) { return engine.use_count() > 1; };
    const auto free = std::partition(ending_.begin(), ending_.end(), held);
    Engines ends(std::make_move_iterator(free), std::make_move_iterator(ending_.end()));
    ending_.erase(free, ending_.end());
    if (!ends.empty()) {
      ends_now_++;
      lock.unlock();
      ends.clear();
      lock.lock();
      ends_now_--;
      changed_.notify_all();
      continue;
    }
    if (is_stopping_) {
      ending_.clear();  // the leases that are left end their engines
      return;
    }
    const auto next = residents_.next_expiry();
    if (!ending_.empty()) {
      changed_.wait_for(lock, kRetry);
    } else if (next) {
      changed_.wait_until(lock, *next);
    } else {
      changed_.wait(lock);
    }
  }
}

class ThreadedPool final : public ModelPool {
 public:
  ThreadedPool(ModelStore& store, const ModelPoolOptions& options)
      : state_(std::make_shared<PoolState>(store, options)), thread_([state = state_] { state->play(); }) {}
  ThreadedPool(const ThreadedPool&) = delete;
  ThreadedPool& operator=(const ThreadedPool&) = delete;
  ~ThreadedPool() override {
    state_->stop();
    thread_.join();
  }
  ModelStore& store() override { return state_->store(); }
  Result<ModelLease> acquire(std::string_view name, std::optional<KeepAlive> keep_alive) override {
    return state_->acquire(name, keep_alive);
  }
  bool unload(std::string_view name) override { return state_->unload(name); }
  [[nodiscard]] std::vector<LoadedModel> loaded() const override { return state_->loaded(); }
  void shut_down(std::chrono::milliseconds grace) override { state_->shut_down(grace); }

 private:
  std::shared_ptr<PoolState> state_;
  std::thread thread_;
};

}  // namespace

std::unique_ptr<ModelPool> ModelPool::create(ModelStore& store, const ModelPoolOptions& options) {
  return std::make_unique<ThreadedPool>(store, options);
}

}  // namespace hotaru::server
