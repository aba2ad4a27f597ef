// hotaru ps: what the server holds in memory.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "base/json.h"
#include "base/size_text.h"
#include "cli/command.h"
#include "cli/table.h"
#include "server/http_client.h"

namespace hotaru::cli {
namespace {

constexpr size_t kLongestAnswer = size_t{16} << 20;

struct PsCommand {
  GlobalOptions global;
  std::string host;
};

// HOTARU_HOST as Ollama reads OLLAMA_HOST: "host", ":port", "host:port", "http://host:port".
std::string server_address(std::string host) {
  if (const char* said = std::getenv("HOTARU_HOST"); host.empty() && said != nullptr) host = said;
  while (host.ends_with('/')) host.pop_back();
  const size_t scheme = host.find("://");
  if (scheme != std::string::npos) return host;
  if (host.empty() || host.starts_with(':')) host = "127.0.0.1" + host;
  if (host.starts_with("0.0.0.0")) host.replace(0, 7, "127.0.0.1");  // where it listens, not where it is
  const size_t after_brackets = host.starts_with('[') ? host.find(']') : 0;
  if (host.find(':', after_brackets) == std::string::npos) host += ":11434";
  return "http://" + host;
}

// "in 4 minutes", "forever".
std::string until_text(const std::string& rfc3339) {
  std::tm calendar{};
  if (::strptime(rfc3339.c_str(), "%Y-%m-%dT%H:%M:%S", &calendar) == nullptr) return rfc3339;
  const auto left = std::chrono::system_clock::from_time_t(::timegm(&calendar)) - std::chrono::system_clock::now();
  if (left > std::chrono::hours(24 * 365 * 20)) return "forever";
  return left < std::chrono::seconds(1) ? "now" : "in " + time_span(left);
}

Result<std::string> models_text(const Json& answer) {
  Table table({"NAME", "ID", "SIZE", "CONTEXT", "UNTIL"});
  const Json models = answer.value("models", Json::array());
  if (!models.is_array()) return invalid("'models': got {}, want a list", models.type_name());
  for (const Json& model : models) {
    TRY_ASSIGN(const std::string name, json_string(model, "name", ""));
    TRY_ASSIGN(const std::string digest, json_string(model, "digest", ""));
    TRY_ASSIGN(const std::string expires, json_string(model, "expires_at", ""));
    TRY_ASSIGN(const int64_t bytes, json_integer(model, "size", 0, 0, INT64_MAX));
    TRY_ASSIGN(const int64_t context, json_integer(model, "context_length", 0, 0, INT32_MAX));
    table.add({name, digest.substr(0, 12), size_text(static_cast<uint64_t>(bytes)), std::to_string(context),
               until_text(expires)});
  }
  return table.text();
}

Result<void> print_running(const PsCommand& command) {
  server::HttpFetch fetch;
  fetch.url = server_address(command.host) + "/api/ps";
  if (const char* key = std::getenv("HOTARU_API_KEY"); key != nullptr && *key != '\0') {
    fetch.headers.emplace_back("Authorization", fmt::format("Bearer {}", key));
  }
  const std::string url = fetch.url;
  Result<server::HttpAnswer> answer = server::http_fetch_text(std::move(fetch), kLongestAnswer);
  if (!answer) return at("no server answers (hotaru serve starts one)", std::move(answer).error());
  if (answer->status != 200) return make_error(ErrorKind::kIo, "{}: got status {}, want 200", url, answer->status);
  TRY_ASSIGN(const Json json, parse_json(answer->body, url));
  if (!json.is_object()) return invalid("{}: got {}, want an object", url, json.type_name());
  if (command.global.json) {
    std::printf("%s\n", json.dump().c_str());
    return {};
  }
  TRY_ASSIGN(const std::string text, models_text(json));
  std::fputs(text.c_str(), stdout);
  return {};
}

}  // namespace

void add_ps(CLI::App& app) {
  auto command = std::make_shared<PsCommand>();
  CLI::App* sub = app.add_subcommand("ps", "List the models that the server holds in memory");
  sub->footer("Example: HOTARU_HOST=127.0.0.1:11434 hotaru ps");
  sub->add_option("--host", command->host, "Address of the server (default: HOTARU_HOST or 127.0.0.1:11434)");
  add_global_options(*sub, command->global);
  set_action(*sub, [command] { return print_running(*command); });
}

}  // namespace hotaru::cli
