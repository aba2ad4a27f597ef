#include "server/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>
#include <optional>

namespace hotaru::server {
namespace {

constexpr long kConnectSeconds = 15;
constexpr long kSilentSeconds = 60;  // without a byte: the connection is dead
constexpr long kRedirections = 10;
constexpr size_t kLongestErrorBody = 64 * 1024;

struct Transfer {
  const HttpFetch* fetch = nullptr;
  CURL* curl = nullptr;
  HttpAnswer answer;
  std::optional<Error> error;  // of on_bytes
};

int status_of(CURL* curl) {
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return static_cast<int>(status);
}

size_t take_bytes(char* data, size_t size, size_t count, void* user) {
  Transfer& transfer = *static_cast<Transfer*>(user);
  const size_t bytes = size * count;
  const int status = status_of(transfer.curl);
  if (status != 200 && status != 206) {
    const size_t room = kLongestErrorBody - transfer.answer.body.size();
    transfer.answer.body.append(data, std::min(bytes, room));
    return bytes;
  }
  Result<void> taken = transfer.fetch->on_bytes(status, std::as_bytes(std::span(data, bytes)));
  if (taken) return bytes;
  transfer.error = std::move(taken).error();
  return 0;
}

int check_cancelled(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const Transfer& transfer = *static_cast<Transfer*>(user);
  return transfer.fetch->is_cancelled && transfer.fetch->is_cancelled() ? 1 : 0;
}

Error transfer_error(const std::string& url, CURLcode code) {
  const char* reason = curl_easy_strerror(code);
  switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
      return make_error(ErrorKind::kAborted, "{}: cancelled", url);
    case CURLE_OPERATION_TIMEDOUT:
      return make_error(ErrorKind::kTimeout, "{}: {}", url, reason);
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return invalid("{}: {}, want an http or https address", url, reason);
    default:
      return make_error(ErrorKind::kIo, "{}: {}", url, reason);
  }
}

}  // namespace

Result<HttpAnswer> http_fetch(const HttpFetch& fetch) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle(curl_easy_init(), &curl_easy_cleanup);
  if (ready != CURLE_OK || !handle) return make_error(ErrorKind::kIo, "libcurl cannot be set up");
  CURL* curl = handle.get();
  Transfer transfer{&fetch, curl, {}, {}};
  curl_slist* list = nullptr;
  for (const auto& [name, value] : fetch.headers)
    list = curl_slist_append(list, fmt::format("{}: {}", name, value).c_str());
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list, &curl_slist_free_all);
  curl_easy_setopt(curl, CURLOPT_URL, fetch.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kRedirections);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSilentSeconds);
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "hotaru");
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_bytes);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, check_cancelled);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  const std::string range = fmt::format("{}-", fetch.offset);
  if (fetch.offset > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  const CURLcode code = curl_easy_perform(curl);
  if (transfer.error) return *std::move(transfer.error);
  if (code != CURLE_OK) return transfer_error(fetch.url, code);
  transfer.answer.status = status_of(curl);
  return std::move(transfer.answer);
}

Result<HttpAnswer> http_fetch_text(HttpFetch fetch, size_t max_bytes) {
  std::string body;
  const std::string url = fetch.url;
  fetch.on_bytes = [&](int, std::span<const std::byte> bytes) -> Result<void> {
    if (body.size() + bytes.size() > max_bytes)
      return invalid("{}: the answer is larger than {} bytes", url, max_bytes);
    body.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return {};
  };
  TRY_ASSIGN(HttpAnswer answer, http_fetch(fetch));
  if (answer.status == 200 || answer.status == 206) answer.body = std::move(body);
  return answer;
}

}  // namespace hotaru::server
