// adapters MODEL.hef: one prompt to the base model and to each of its adapters, all written at the same time, in one
// batch; the weights are loaded once. Then one conversation that changes its adapter in the middle.
#include <hotaru/hotaru.h>

#include <iostream>
#include <string>
#include <utility>
#include <vector>

using hotaru::genai::LLM;
using hotaru::genai::LLMGeneratorCompletion;

int main(int argc, char** argv) try {
  if (argc != 2) throw std::runtime_error("usage: adapters MODEL.hef");
  auto device = hotaru::VDevice::create_shared().expect("no device");
  std::vector<LLM> llms;
  llms.push_back(LLM::create(device, hotaru::genai::LLMParams(argv[1])).expect("cannot load"));
  for (const std::string& name : llms[0].adapters()) {
    llms.push_back(LLM::create(device, {argv[1], name}).expect("cannot load"));
  }

  auto params = llms[0].create_generator_params();
  params.set_max_generated_tokens(40).expect("tokens");
  params.set_seed(7);
  const std::string question = R"({"role": "user", "content": "Tell me a story."})";

  std::vector<LLMGeneratorCompletion> replies;
  for (LLM& llm : llms) replies.push_back(llm.generate(params, {question}).expect("cannot generate"));
  for (size_t i = 0; i < llms.size(); i++) {
    const std::string name = llms[i].lora();
    std::cout << "[" << (name.empty() ? "base" : name) << "] " << replies[i].read_all().expect("read") << '\n';
  }

  LLM& llm = llms[0];
  for (const std::string& name : llm.adapters()) {
    llm.set_lora(name).expect("no such adapter");  // the conversation so far is read anew, through the adapter
    auto reply = llm.generate(params, {R"({"role": "user", "content": "And then?"})"}).expect("cannot generate");
    std::cout << "[and then, " << name << "] " << reply.read_all().expect("read") << '\n';
  }
} catch (const std::exception& error) {
  std::cerr << "adapters: " << error.what() << '\n';
  return 1;
}
