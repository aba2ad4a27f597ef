// Tokenizer JSON, chat templates, detokeniser and stop strings on hostile input. The first byte chooses which.
#include <cstdint>
#include <string>

#include "base/check.h"
#include "text/chat_template.h"
#include "text/detokenizer.h"
#include "text/stop_strings.h"
#include "text/text_bundle.h"
#include "text/tokenizer.h"

namespace hotaru {
namespace {

const char* const kMessages = R"([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "a<b>"}])";

void tokenizer_json(std::string_view input) {
  const auto tokenizer = Tokenizer::create(input);
  if (!tokenizer) return;
  const auto ids = tokenizer->encode("Hello <s> wörld 日本\n\t  7", {.add_special_tokens = true});
  if (ids) CHECK(tokenizer->decode(*ids).ok());
}

void chat_template(std::string_view input) {
  TextBundle bundle;
  bundle.chat_template = input;
  const auto chat = ChatTemplate::create(bundle);
  if (!chat) return;
  const auto text = chat->render({.messages_json = kMessages});
  CHECK(text.ok() || !text.error().message.empty());
}

// Bytes as ids of a byte-fallback tokenizer: the stream equals decode.
void ids(std::string_view input) {
  static const Tokenizer tokenizer = [] {
    std::string vocabulary = R"("<unk>":0,"▁a":1,"b":2)";
    for (int byte = 0; byte < 256; ++byte) vocabulary += fmt::format(",\"<0x{:02X}>\":{}", byte, byte + 3);
    return *Tokenizer::create(
        R"({"version":"1.0","model":{"type":"BPE","byte_fallback":true,"merges":[],"vocab":{)" + vocabulary +
        R"(}},"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},)"
        R"({"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}})");
  }();
  std::vector<int32_t> list;
  for (const char byte : input)
    list.push_back(static_cast<unsigned char>(byte) + 3 - (byte == 'a' || byte == 'b' ? 97 : 0));
  Detokenizer detokenizer = *Detokenizer::create(tokenizer);
  std::string text;
  for (const int32_t id : list) text += *detokenizer.push(id);
  text += *detokenizer.finish();
  const std::string whole = *tokenizer.decode(list);
  CHECK_EQ(text, whole);
}

// Lines are stop strings but the last, which is the text: how it is cut must not matter.
void stop_strings(std::string_view input) {
  std::vector<std::string> stops;
  for (size_t end = input.find('\n'); end != std::string_view::npos && stops.size() < 8; end = input.find('\n')) {
    stops.emplace_back(input.substr(0, end));
    input.remove_prefix(end + 1);
  }
  StopStrings whole(stops);
  StopStrings cut(stops);
  std::string text = whole.push(input);
  text += whole.finish();
  std::string pieces;
  for (size_t i = 0; i < input.size(); i += 1 + i % 3) pieces += cut.push(input.substr(i, 1 + i % 3));
  pieces += cut.finish();
  CHECK_EQ(text, pieces);
  CHECK_EQ(whole.matched(), cut.matched());
}

}  // namespace
}  // namespace hotaru

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      hotaru::tokenizer_json(input);
      break;
    case 1:
      hotaru::chat_template(input);
      break;
    case 2:
      hotaru::ids(input);
      break;
    default:
      hotaru::stop_strings(input);
  }
  return 0;
}
