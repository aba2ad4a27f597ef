#include "server/store/resident_models.h"

#include <algorithm>

namespace hotaru::server {

std::optional<ResidentModel::Clock::time_point> ResidentModel::expires(Clock::time_point now) const {
  if (leaves) return users > 0 ? now : last_used;
  if (keep_alive.count() < 0) return std::nullopt;
  return (users > 0 ? now : last_used) + keep_alive;
}

ResidentModel* ResidentModels::find(std::string_view key) {
  const auto found = std::find_if(models_.begin(), models_.end(), [&](const auto& model) { return model.key == key; });
  return found != models_.end() ? &*found : nullptr;
}

ResidentModel* ResidentModels::find_by_name(std::string_view name) {
  const auto found =
      std::find_if(models_.begin(), models_.end(), [&](const auto& model) { return model.stored.name.text() == name; });
  return found != models_.end() ? &*found : nullptr;
}

void ResidentModels::erase(std::string_view key) {
  models_.remove_if([&](const ResidentModel& model) { return model.key == key; });
}

uint64_t ResidentModels::bytes() const {
  uint64_t sum = 0;
  for (const ResidentModel& model : models_) sum += model.bytes;
  return sum;
}

int ResidentModels::users() const {
  int sum = 0;
  for (const ResidentModel& model : models_) sum += model.users;
  return sum;
}

bool ResidentModels::has_idle() const {
  return std::any_of(models_.begin(), models_.end(), [](const ResidentModel& model) { return model.is_idle(); });
}

bool ResidentModels::make_room(uint64_t wanted, uint64_t budget, std::vector<std::shared_ptr<Engine>>& taken) {
  uint64_t idle = 0;
  for (const ResidentModel& model : models_) idle += model.is_idle() ? model.bytes : 0;
  if (wanted > budget || bytes() - idle > budget - wanted) return false;
  while (bytes() > budget - wanted) {
    const auto oldest = std::min_element(models_.begin(), models_.end(), [](const auto& a, const auto& b) {
      return a.is_idle() != b.is_idle() ? a.is_idle() : a.last_used < b.last_used;
    });
    taken.push_back(std::move(oldest->engine));
    models_.erase(oldest);
  }
  return true;
}

void ResidentModels::let_go(ResidentModel& model, std::vector<std::shared_ptr<Engine>>& taken) {
  model.leaves = true;
  if (!model.is_idle()) return;
  taken.push_back(std::move(model.engine));
  erase(std::string(model.key));
}

void ResidentModels::expire(Clock::time_point now, std::vector<std::shared_ptr<Engine>>& taken) {
  models_.remove_if([&](ResidentModel& model) {
    if (!model.is_idle() || !model.expires(now) || *model.expires(now) > now) return false;
    taken.push_back(std::move(model.engine));
    return true;
  });
}

void ResidentModels::take_all(std::vector<std::shared_ptr<Engine>>& taken) {
  models_.remove_if([&](ResidentModel& model) {
    if (model.engine == nullptr) return false;
    taken.push_back(std::move(model.engine));
    return true;
  });
}

std::optional<ResidentModels::Clock::time_point> ResidentModels::next_expiry() const {
  std::optional<Clock::time_point> next;
  for (const ResidentModel& model : models_) {
    if (!model.is_idle()) continue;
    const auto expires = model.expires(model.last_used);
    if (expires && (!next || *expires < *next)) next = expires;
  }
  return next;
}

}  // namespace hotaru::server
