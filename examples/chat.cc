// chat MODEL.hef [SEED]: a chat on stdin and stdout; Ctrl-C stops a reply, and the chat goes on.
#include <hotaru/hotaru.h>

#include <atomic>
#include <csignal>
#include <iostream>
#include <string>

namespace {

std::atomic<bool> interrupted = false;

// As a JSON string: quotes, backslashes and control characters escaped.
std::string quoted(const std::string& text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string json = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20) {
      json += std::string("\\u00") + kHex[byte >> 4] + kHex[byte & 15];
    } else {
      if (c == '"' || c == '\\') json += '\\';
      json += c;
    }
  }
  return json + '"';
}

void answer(hotaru::genai::LLM& llm, const hotaru::genai::LLMGeneratorParams& params, const std::string& line) {
  auto reply = llm.generate(params, {R"({"role": "user", "content": )" + quoted(line) + "}"}).expect("cannot generate");
  for (const auto& piece : reply) {
    std::cout << piece.value() << std::flush;
    if (interrupted.exchange(false)) reply.abort();  // within one token; the next turn finds the reply closed
  }
  std::cout << '\n';
  if (reply.generation_status() == hotaru::genai::Status::CONTEXT_FULL) {
    std::cerr << "(the context is full; the chat begins anew)\n";
    llm.clear_context().expect("cannot clear");
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) throw std::runtime_error("usage: chat MODEL.hef [SEED]");
  std::signal(SIGINT, [](int) { interrupted = true; });

  auto device = hotaru::VDevice::create_shared().expect("no device");
  auto llm = hotaru::genai::LLM::create(device, hotaru::genai::LLMParams(argv[1])).expect("cannot load");
  auto params = llm.create_generator_params();
  params.set_temperature(0.7F).expect("temperature");
  params.set_max_generated_tokens(256).expect("tokens");
  if (argc > 2) params.set_seed(std::stoull(argv[2]));

  for (std::string line; std::cout << "> " << std::flush && std::getline(std::cin, line);) {
    if (line.empty()) continue;
    answer(llm, params, line);
    std::cerr << "(" << llm.get_context_usage_size().value() << " of " << llm.max_context_capacity() << " tokens)\n";
  }
  std::cout << '\n';
} catch (const std::exception& error) {
  std::cerr << "chat: " << error.what() << '\n';
  return 1;
}
