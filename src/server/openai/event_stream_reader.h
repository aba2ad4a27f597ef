// For tests: server-sent events back into JSON.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/json.h"

namespace hotaru::server {

struct ReadEvent {
  std::string name;  // empty: it has none
  Json data;         // a string if it is no JSON: "[DONE]"
};

inline std::vector<ReadEvent> read_events(const std::string& stream) {
  std::vector<ReadEvent> events;
  size_t begin = 0;
  for (size_t end = stream.find("\n\n"); end != std::string::npos; end = stream.find("\n\n", begin)) {
    std::string text = stream.substr(begin, end - begin);
    ReadEvent event;
    if (text.starts_with("event: ")) {
      const size_t line_end = text.find('\n');
      event.name = text.substr(7, line_end - 7);
      text.erase(0, line_end + 1);
    }
    EXPECT_TRUE(text.starts_with("data: ")) << text;
    const std::string data = text.substr(6);
    event.data = data.starts_with('{') ? Json::parse(data) : Json(data);
    events.push_back(std::move(event));
    begin = end + 2;
  }
  EXPECT_EQ(begin, stream.size());
  return events;
}

inline std::vector<std::string> names_of(const std::vector<ReadEvent>& events) {
  std::vector<std::string> names;
  for (const ReadEvent& event : events) names.push_back(event.name);
  return names;
}

}  // namespace hotaru::server
