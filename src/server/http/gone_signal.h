// Whether a client has left before its answer was sent, and who wants to know.
#pragma once

#include <functional>
#include <mutex>
#include <utility>

namespace hotaru::server {

// Safe from any thread. The callback is called without a lock held, and so does what it holds die.
class GoneSignal {
 public:
  [[nodiscard]] bool is_gone() const {
    const std::lock_guard lock(mutex_);
    return is_gone_;
  }
  // Called once when the client leaves; at once if it has left. The last one set counts.
  void set_callback(std::function<void()> callback) {
    {
      const std::lock_guard lock(mutex_);
      if (!is_gone_) {
        if (!is_closed_) std::swap(callback_, callback);
        return;
      }
    }
    callback();
  }
  // The client leaves.
  void leave() {
    std::function<void()> callback;
    {
      const std::lock_guard lock(mutex_);
      is_gone_ = true;
      std::swap(callback_, callback);
    }
    if (callback) callback();
  }
  // The answer has been sent: nobody is told any more.
  void close() {
    std::function<void()> dropped;
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    std::swap(callback_, dropped);
  }

 private:
  mutable std::mutex mutex_;
  std::function<void()> callback_;
  bool is_gone_ = false, is_closed_ = false;
};

}  // namespace hotaru::server
