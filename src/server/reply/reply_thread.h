// The one thread on which replies go from their engines to their exchanges, whatever their number: what must not happen
// on an engine's thread (writing JSON, giving a model back) happens here, one thing after the other.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace hotaru::server {

class ReplyThread {
 public:
  static ReplyThread& of_process();
  ReplyThread();
  ReplyThread(const ReplyThread&) = delete;
  ReplyThread& operator=(const ReplyThread&) = delete;
  // What has been posted is done first.
  ~ReplyThread();
  // Any thread; never blocks. `work` must not wait for anything.
  void post(std::function<void()> work);

 private:
  void play();

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool is_stopping_ = false;
  std::thread thread_;  // the last member: it starts when all others are there
};

}  // namespace hotaru::server
