// POST /api/pull.
#include <atomic>
#include <list>
#include <mutex>
#include <optional>
#include <thread>

#include "server/request/errors.h"
#include "server/request/fields.h"
#include "server/store/handlers.h"
#include "server/store/pull.h"
#include "server/store/status_stream.h"

namespace hotaru::server {
namespace {

constexpr size_t kPullsAtOnce = 8;

Json status_json(const PullStatus& status) {
  Json json = {{"status", status.status}};
  if (status.digest.empty()) return json;
  json["digest"] = status.digest;
  json["total"] = status.total;
  if (status.completed > 0) json["completed"] = status.completed;
  return json;
}

// Set by the client's leaving and by the server's end.
struct PullJob {
  std::thread thread;
  std::shared_ptr<std::atomic<bool>> is_cancelled = std::make_shared<std::atomic<bool>>(false);
  std::shared_ptr<std::atomic<bool>> has_ended = std::make_shared<std::atomic<bool>>(false);
};

class ThreadedPulls final : public Pulls {
 public:
  ThreadedPulls(ModelStore& store, std::string registry) : store_(store), registry_(std::move(registry)) {}
  ThreadedPulls(const ThreadedPulls&) = delete;
  ThreadedPulls& operator=(const ThreadedPulls&) = delete;
  ~ThreadedPulls() override {
    for (PullJob& job : jobs_) job.is_cancelled->store(true);
    for (PullJob& job : jobs_) job.thread.join();
  }

  void handle(const SharedExchange& exchange) override {
    const std::string& path = exchange->request().path;
    const Result<Json> body = Fields::parse_object(exchange->request().body);
    if (!body) return exchange->respond(error_response(path, body.error()));
    Fields fields(*body, "");
    std::string model = fields.text("model").value_or("");
    if (model.empty()) model = fields.text("name").value_or("");
    if (model.empty()) model = fields.required_text("model");
    const bool streams = fields.boolean("stream").value_or(true);
    if (!fields.ok()) return exchange->respond(error_response(path, fields.error(), fields.bad_field()));
    if (const Result<ModelName> name = ModelName::parse(model); !name) {
      return exchange->respond(error_response(path, name.error()));
    }
    start(exchange, model, streams);
  }

 private:
  void start(const SharedExchange& exchange, const std::string& model, bool streams) {
    const std::lock_guard lock(mutex_);
    jobs_.remove_if([](PullJob& job) {
      if (!job.has_ended->load()) return false;
      job.thread.join();
      return true;
    });
    if (jobs_.size() >= kPullsAtOnce) {
      const Error busy =
          make_error(ErrorKind::kBusy, "pull '{}': {} pulls are at work, try again later", model, kPullsAtOnce);
      return exchange->respond(error_response(exchange->request().path, busy));
    }
    PullJob& job = jobs_.emplace_back();
    exchange->on_gone([cancelled = job.is_cancelled] { cancelled->store(true); });
    job.thread = std::thread([this, exchange, model, streams, cancelled = job.is_cancelled, ended = job.has_ended] {
      run(make_status_lines(exchange, streams), model, *cancelled);
      ended->store(true);
    });
  }

  // No answer for a client that has left: its stream is gone.
  void run(const std::shared_ptr<StatusLines>& lines, const std::string& model, const std::atomic<bool>& cancelled) {
    PullOptions options;
    options.registry = registry_;
    options.on_status = [&lines](const PullStatus& status) { lines->write(status_json(status)); };
    options.is_cancelled = [&cancelled] { return cancelled.load(); };
    const Result<void> pulled = pull_model(store_, model, options);
    if (!pulled) return lines->fail(pulled.error());
    lines->finish();
  }

  ModelStore& store_;
  std::string registry_;
  std::mutex mutex_;
  std::list<PullJob> jobs_;
};

}  // namespace

std::shared_ptr<Pulls> Pulls::create(ModelStore& store, std::string registry) {
  return std::make_shared<ThreadedPulls>(store, std::move(registry));
}

}  // namespace hotaru::server
