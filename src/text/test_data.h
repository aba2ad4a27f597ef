// Where the tests of this folder find their texts and tokenizers.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "text/detokenizer.h"
#include "text/text_bundle.h"
#include "text/tokenizer.h"

#ifndef HOTARU_SOURCE_DIR  // Defined for test programs; not for the check that headers compile alone.
#define HOTARU_SOURCE_DIR "."
#endif

namespace hotaru::test_data {

inline const std::string kSource = HOTARU_SOURCE_DIR;
inline const std::string kTokenizers = kSource + "/tests/data/tokenizers";
inline const std::string kDemo = kSource + "/models/demo";

// What is too large or not ours to ship lies beside the source tree, on some machines.
inline std::string shared_path(const std::string& name) {
  const char* shared = std::getenv("HOTARU_SHARED");
  return (shared != nullptr ? std::string(shared) : kSource + "/../shared") + "/" + name;
}

inline Json read_json(const std::string& path) { return *parse_json(*read_text_file(path), path); }

// ggml's format: a separator line after each text, ids as a line each.
inline std::vector<std::string> read_texts() {
  const std::string separator = "\n__ggml_vocab_test__\n";
  const std::string all = *read_text_file(kTokenizers + "/texts.inp");
  std::vector<std::string> texts;
  size_t begin = 0;
  for (size_t end = all.find(separator); end != std::string::npos; end = all.find(separator, begin)) {
    texts.push_back(all.substr(begin, end - begin));
    begin = end + separator.size();
  }
  return texts;
}

inline std::vector<std::vector<int32_t>> read_ids(const std::string& path) {
  std::istringstream lines(*read_text_file(path));
  std::vector<std::vector<int32_t>> ids;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream numbers(line);
    ids.emplace_back();
    for (int32_t id = 0; numbers >> id;) ids.back().push_back(id);
  }
  return ids;
}

inline Tokenizer load_tokenizer(const std::string& path) { return *Tokenizer::create(*read_text_file(path)); }

// The whole text a detokenizer makes of ids, given one by one.
inline std::string stream(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                          DetokenizerOptions options = {}) {
  Detokenizer detokenizer = *Detokenizer::create(tokenizer, options);
  std::string text;
  for (const int32_t id : ids) text += *detokenizer.push(id);
  return text + *detokenizer.finish();
}

// A directory of files that is gone when the test ends.
class Directory {
 public:
  Directory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "hotaru_text_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { std::filesystem::remove_all(path_); }
  void write(const std::string& name, const std::string& content) const {
    std::ofstream(path_ + "/" + name) << content;
  }
  void copy(const std::string& from, const std::string& name) const {
    std::filesystem::copy_file(from, path_ + "/" + name);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Qwen2.5's vocab.json follows from its merges: the 256 bytes in the order of GPT-2's alphabet, then every merge.
inline std::string qwen2_vocabulary() {
  const auto utf8 = [](int code) {
    if (code < 0x80) return std::string(1, static_cast<char>(code));
    return std::string{static_cast<char>(0xC0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3F))};
  };
  const auto printable = [](int byte) { return (byte > 32 && byte < 127) || (byte > 160 && byte != 173); };
  Json vocabulary = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    if (printable(byte)) vocabulary[utf8(byte)] = vocabulary.size();
  }
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    if (!printable(byte)) vocabulary[utf8(next++)] = vocabulary.size();
  }
  std::string json = vocabulary.dump();
  json.pop_back();
  std::istringstream lines(*read_text_file(kTokenizers + "/qwen2_merges.txt"));
  size_t id = vocabulary.size();
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#version")) continue;
    line.erase(line.find(' '), 1);
    json += "," + Json(line).dump() + ":" + std::to_string(id++);
  }
  return json + "}";
}

// Qwen2.5 as vocab.json + merges.txt, the way its repositories ship it.
inline void write_qwen2(const Directory& directory) {
  directory.write("vocab.json", qwen2_vocabulary());
  directory.copy(kTokenizers + "/qwen2_merges.txt", "merges.txt");
  directory.copy(kTokenizers + "/qwen2_added_tokens.json", "added_tokens.json");
  directory.write("tokenizer_config.json",
                  R"({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "bos_token": null,
                      "pad_token": {"content": "<|endoftext|>"}, "add_bos_token": false,
                      "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})");
}

}  // namespace hotaru::test_data
