#include "server/http/router.h"

#include <gtest/gtest.h>

namespace hotaru::server {
namespace {

Router router_of(const std::vector<std::pair<std::string, std::string>>& routes) {
  Router router;
  for (const auto& [method, path] : routes) router.add({.method = method, .path = path, .handler = {}});
  return router;
}

std::string found(const Router& router, std::string_view method, std::string_view path) {
  const Router::Match match = router.find(method, path);
  if (match.route == nullptr) return "none of " + match.allowed;
  std::string text = match.route->method + " " + match.route->path;
  for (const auto& [name, value] : match.parameters) text += " " + name + "=" + value;
  return text;
}

TEST(Router, FindsByMethodAndPath) {
  const Router router = router_of({{"GET", "/"}, {"GET", "/api/tags"}, {"POST", "/api/blobs/{digest}"}});
  EXPECT_EQ(found(router, "GET", "/"), "GET /");
  EXPECT_EQ(found(router, "GET", "/api/tags"), "GET /api/tags");
  EXPECT_EQ(found(router, "POST", "/api/blobs/sha256:1"), "POST /api/blobs/{digest} digest=sha256:1");
  for (const char* path : {"", "x", "//", "/api", "/api/", "/api/tags/", "/api/tags/x", "/api/blobs", "/api/blobs/",
                           "/api/blobs//", "/api/blobs/a/b", "/API/tags"}) {
    EXPECT_EQ(found(router, "GET", path), "none of ") << path;
  }
}

TEST(Router, SaysWhichMethodsThePathHas) {
  const Router router = router_of({{"POST", "/a"}, {"GET", "/a"}, {"DELETE", "/{x}"}});
  EXPECT_EQ(found(router, "PUT", "/a"), "none of DELETE, GET, HEAD, POST");
  EXPECT_EQ(found(router, "PUT", "/b"), "none of DELETE");
}

TEST(Router, HeadIsGetsUnlessItHasItsOwn) {
  const Router router = router_of({{"GET", "/a"}, {"GET", "/b"}, {"HEAD", "/b"}, {"POST", "/c"}});
  EXPECT_EQ(found(router, "HEAD", "/a"), "GET /a");
  EXPECT_EQ(found(router, "HEAD", "/b"), "HEAD /b");
  EXPECT_EQ(found(router, "HEAD", "/c"), "none of POST");
}

TEST(Router, TheRestOfAPathMayHoldSlashes) {
  const Router router = router_of({{"GET", "/v1/models/{id...}"}});
  EXPECT_EQ(found(router, "GET", "/v1/models/a"), "GET /v1/models/{id...} id=a");
  EXPECT_EQ(found(router, "GET", "/v1/models/a/b/"), "GET /v1/models/{id...} id=a/b/");
  EXPECT_EQ(found(router, "GET", "/v1/models/"), "none of ");
}

TEST(Router, TheRouteThatSaysMostWins) {
  const Router router =
      router_of({{"GET", "/c/{rest...}"}, {"GET", "/c/{id}"}, {"GET", "/c/load"}, {"GET", "/c/{id}/x"}});
  EXPECT_EQ(found(router, "GET", "/c/load"), "GET /c/load");
  EXPECT_EQ(found(router, "GET", "/c/7"), "GET /c/{id} id=7");
  EXPECT_EQ(found(router, "GET", "/c/7/x"), "GET /c/{id}/x id=7");
  EXPECT_EQ(found(router, "GET", "/c/7/y"), "GET /c/{rest...} rest=7/y");
}

}  // namespace
}  // namespace hotaru::server
