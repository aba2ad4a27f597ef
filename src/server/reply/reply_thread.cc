#include "server/reply/reply_thread.h"

#include <utility>

namespace hotaru::server {

ReplyThread& ReplyThread::of_process() {
  static ReplyThread thread;
  return thread;
}

ReplyThread::ReplyThread() : thread_([this] { play(); }) {}

ReplyThread::~ReplyThread() {
  {
    const std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void ReplyThread::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(work));
  }
  changed_.notify_one();
}

void ReplyThread::play() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return is_stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    std::function<void()> work = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    work();
    work = nullptr;  // what it holds dies here, not under the lock
    lock.lock();
  }
}

}  // namespace hotaru::server
