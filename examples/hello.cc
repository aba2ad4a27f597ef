// hello MODEL.hef [ADAPTER]: load, ask, read the reply as it comes.
#include <hotaru/hotaru.h>

#include <iostream>
#include <string>

using hotaru::genai::Status;

int main(int argc, char** argv) try {
  if (argc < 2) throw std::runtime_error("usage: hello MODEL.hef [ADAPTER]");
  const std::string hef = argv[1];
  const std::string adapter = argc > 2 ? argv[2] : "";

  auto device = hotaru::VDevice::create_shared().expect("no device");
  auto llm = hotaru::genai::LLM::create(device, {hef, adapter}).expect("cannot load");
  auto reply = llm.generate({R"({"role":"user","content":"Hello"})"}).expect("cannot generate");
  while (reply.generation_status() == Status::GENERATING) std::cout << reply.read().expect("read") << std::flush;

  std::cout << '\n';
  std::cerr << reply.generated_tokens() << " tokens, " << device->used_memory_bytes() << " bytes on the device\n";
} catch (const std::exception& error) {
  std::cerr << "hello: " << error.what() << '\n';
  return 1;
}
