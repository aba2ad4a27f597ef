// hotaru serve: models of a folder behind Ollama's, OpenAI's, Anthropic's and Hotaru's own API.
#include <fmt/format.h>
#include <semaphore.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/serve_settings.h"
#include "server/api.h"
#include "server/http/http_server.h"
#include "server/http/request_counters.h"
#include "server/store/model_pool.h"
#include "server/store/pull.h"

namespace hotaru::cli {
namespace {

using server::HttpServer;
using server::LogFormat;

// A reply on its way when the server is told to stop has so long to end.
constexpr std::chrono::seconds kGrace{10};

struct ServeOptions {
  GlobalOptions global;
  std::string host, models, memory, keep_alive = "5m", api_key_file, log_format = "text";
  int port = -1;
  int parallel = 0;
};

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string_view() : value;
}

std::atomic<int> last_signal = 0;
static_assert(std::atomic<int>::is_always_lock_free, "set in a signal handler");
sem_t signal_count;

// On any thread: libraries have some of their own, from before main(). So it only tells the one that waits.
void on_signal(int signal) {
  last_signal = signal;
  sem_post(&signal_count);
}

class StopSignals {
 public:
  StopSignals() {
    sem_init(&signal_count, 0, 0);
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, &interrupt_before_);
    sigaction(SIGTERM, &action, &terminate_before_);
  }
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  // From here on, what main() does with signals holds again.
  ~StopSignals() {
    sigaction(SIGINT, &interrupt_before_, nullptr);
    sigaction(SIGTERM, &terminate_before_, nullptr);
    has_ended_ = true;
    sem_post(&signal_count);
    if (watcher_.joinable()) watcher_.join();
  }
  // The first one: gracefully. The second one ends the process: what it writes is whole or not there at all times.
  void watch(HttpServer& server) {
    watcher_ = std::thread([this, &server] {
      for (int seen = 0;; seen++) {
        while (sem_wait(&signal_count) != 0) continue;  // EINTR
        if (has_ended_) return;
        if (seen > 0) {
          remove_unfinished_outputs();
          std::_Exit(128 + last_signal);
        }
        server.stop(kGrace);
      }
    });
  }

 private:
  struct sigaction interrupt_before_ {
  }, terminate_before_{};
  std::thread watcher_;
  std::atomic<bool> has_ended_ = false;
};

// Each connection is a file descriptor; the usual soft limit of 1024 is for programs that use select().
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

void write_line(const std::string& line) { std::fwrite(line.data(), 1, line.size(), stderr); }

void announce(const std::string& address, LogFormat format) {
  const std::string message = "listening on " + address;
  write_line((format == LogFormat::kJson ? Json{{"message", message}}.dump() : message) + "\n");
}

Result<server::HttpServerOptions> http_options(const ServeOptions& options) {
  server::HttpServerOptions http;
  ServerPlace place;
  if (const std::string_view host = environment("HOTARU_HOST"); !host.empty()) {
    auto parsed = parse_server_place(host, place);
    if (!parsed) return at("HOTARU_HOST", std::move(parsed).error());
    place = *std::move(parsed);
  }
  if (!options.host.empty()) {
    auto parsed = parse_server_place(options.host, place);
    if (!parsed) return at("--host", std::move(parsed).error());
    place = *std::move(parsed);
  }
  http.host = place.host;
  http.port = options.port >= 0 ? static_cast<uint16_t>(options.port) : place.port;
  http.origins = parse_origins(environment("HOTARU_ORIGINS"));
  if (!options.api_key_file.empty()) {
    TRY_ASSIGN(http.api_keys, read_api_keys(options.api_key_file));
  }
  return http;
}

Result<server::ModelPoolOptions> pool_options(const ServeOptions& options) {
  server::ModelPoolOptions pool;
  if (!options.memory.empty()) {
    auto bytes = parse_size(options.memory);
    if (!bytes) return at("--memory", std::move(bytes).error());
    pool.memory_bytes = *bytes;
  }
  pool.threads = options.global.threads;
  TRY_ASSIGN(pool.isa, parse_isa(options.global.isa));
  auto keep_alive = server::parse_keep_alive(Json(options.keep_alive));
  if (!keep_alive) return at("--keep-alive", std::move(keep_alive).error());
  pool.keep_alive = *keep_alive;
  pool.parallel = options.parallel;
  return pool;
}

Result<void> serve(const ServeOptions& options) {
  if (options.global.quiet) set_verbosity(Verbosity::kQuiet);
  const LogFormat format = options.log_format == "json" ? LogFormat::kJson : LogFormat::kText;
  TRY_ASSIGN(server::HttpServerOptions http, http_options(options));
  TRY_ASSIGN(const server::ModelPoolOptions pool_choice, pool_options(options));
  TRY_ASSIGN(server::ModelStore store,
             server::ModelStore::open(options.models.empty() ? server::ModelStore::default_folder() : options.models));
  http.file_folder = store.blob_folder();
  raise_descriptor_limit();
  const auto pool = server::ModelPool::create(store, pool_choice);
  std::unique_ptr<server::RequestCounters> counters;
  server::Router router = server::api_routes(*pool, {.request_metrics = [&counters] { return counters->text(); },
                                                     .store = {.registry = server::registry_from_environment()}});
  counters = std::make_unique<server::RequestCounters>(router);
  http.on_request_done = [&counters, format, logs = !options.global.quiet](const server::RequestRecord& record) {
    counters->count(record);
    if (logs) write_line(server::log_line(record, format, std::chrono::system_clock::now()));
  };
  {
    TRY_ASSIGN(const auto server, HttpServer::create(std::move(http), std::move(router)));
    StopSignals signals;  // gone before the server is
    announce(server->address(), format);
    signals.watch(*server);
    server->run();
  }  // with it go the contexts that clients held
  pool->shut_down(kGrace);
  return {};
}

// Refuses, as wrong usage, what `parse` cannot read.
template <typename Parse>
CLI::Validator readable(Parse parse) {
  return CLI::Validator(
      [parse](std::string& text) {
        const auto parsed = parse(text);
        return parsed ? std::string() : parsed.error().message;
      },
      "");
}

}  // namespace

void add_serve(CLI::App& app) {
  CLI::App* command = app.add_subcommand("serve", "Serve models by the APIs of Ollama, OpenAI and Anthropic");
  command->footer(
      "Examples: hotaru serve\n"
      "          hotaru serve --models models --port 8080 --api-key-file keys.txt --log-format json\n"
      "Environment: HOTARU_HOST, HOTARU_MODELS, HOTARU_ORIGINS (https://a.example,app://*: pages that may ask)");
  auto options = std::make_shared<ServeOptions>();
  add_global_options(*command, options->global);
  command->add_option("--host", options->host, "Address to listen on (default: 127.0.0.1, this machine only)")
      ->check(readable([](const std::string& text) { return parse_server_place(text, {}); }));
  command->add_option("--port", options->port, "Port (default: 11434); 0: any free one")->check(CLI::Range(0, 65535));
  command->add_option("--models", options->models, "Folder of HEF files (default: ~/.hotaru/models)")->type_name("DIR");
  command->add_option("--memory", options->memory, "For all models together, as in 6GiB (default: the machine's)")
      ->check(readable([](const std::string& text) { return parse_size(text); }))
      ->type_name("BYTES");
  command
      ->add_option("--parallel", options->parallel, "Replies of one model at a time (default: as many as it decodes)")
      ->check(CLI::Range(1, 1024));
  command->add_option("--keep-alive", options->keep_alive, "How long an unused model stays loaded; negative: forever")
      ->check(readable([](const std::string& text) { return server::parse_keep_alive(Json(text)); }))
      ->type_name("DURATION")
      ->capture_default_str();
  command
      ->add_option("--api-key-file", options->api_key_file, "Keys of clients, one a line (default: everyone may ask)")
      ->type_name("FILE");
  command->add_option("--log-format", options->log_format, "text or json")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  set_action(*command, [options] { return serve(*options); });
}

}  // namespace hotaru::cli
