// Who is in memory, who uses it, and who has to go: the pool's book-keeping, without loading anything. Not thread-safe:
// the pool has it behind its mutex.
#pragma once

#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "server/store/model_pool.h"

namespace hotaru::server {

// A load in progress; who wants the same model waits for it.
struct ModelLoad {
  bool is_done = false;
  std::optional<Error> error;
};

struct ResidentModel {
  using Clock = std::chrono::steady_clock;
  std::string key;  // of the file's content: links to one file are one model
  StoredModel stored;
  std::shared_ptr<ModelLoad> load;  // set while it loads; `engine` is empty then
  std::shared_ptr<Engine> engine;
  uint64_t bytes = 0;  // 0 while it loads
  int users = 0;
  KeepAlive keep_alive{0};
  Clock::time_point last_used;
  bool leaves = false;  // when the last user goes, whatever keep_alive says

  [[nodiscard]] bool is_idle() const { return users == 0 && engine != nullptr; }
  // Nothing: never. While somebody uses it, what it would be if he went now.
  [[nodiscard]] std::optional<Clock::time_point> expires(Clock::time_point now) const;
};

class ResidentModels {
 public:
  using Clock = ResidentModel::Clock;
  [[nodiscard]] ResidentModel* find(std::string_view key);
  [[nodiscard]] ResidentModel* find_by_name(std::string_view name);
  [[nodiscard]] const std::list<ResidentModel>& all() const { return models_; }
  void add(ResidentModel model) { models_.push_back(std::move(model)); }
  void erase(std::string_view key);
  [[nodiscard]] uint64_t bytes() const;
  [[nodiscard]] int users() const;
  [[nodiscard]] bool has_idle() const;

  // Takes out idle models, the longest unused first, until `wanted` bytes of `budget` are free; their engines are the
  // caller's to end. False: taking all that are idle would not do, and none was taken.
  bool make_room(uint64_t wanted, uint64_t budget, std::vector<std::shared_ptr<Engine>>& taken);
  // Takes out the model if it is idle, else when its last user goes.
  void let_go(ResidentModel& model, std::vector<std::shared_ptr<Engine>>& taken);
  // Takes out those whose time is over.
  void expire(Clock::time_point now, std::vector<std::shared_ptr<Engine>>& taken);
  void take_all(std::vector<std::shared_ptr<Engine>>& taken);  // those that are loaded
  // When expire() has something to do next.
  [[nodiscard]] std::optional<Clock::time_point> next_expiry() const;

 private:
  std::list<ResidentModel> models_;  // addresses stay
};

}  // namespace hotaru::server
