// contexts MODEL.hef FILE: a reply is cut in the middle, saved, and resumed in two ways: where it was, and from the
// file, as another process would. Both say what the reply would have said without the cut. Then a fork goes its own
// way.
#include <hotaru/hotaru.h>

#include <iostream>
#include <string>

using hotaru::genai::LLM;

namespace {

std::string text_of(hotaru::Expected<hotaru::genai::LLMGeneratorCompletion> reply) {
  return std::move(reply).expect("cannot generate").read_all().expect("read");
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) throw std::runtime_error("usage: contexts MODEL.hef FILE");
  const hotaru::genai::LLMParams model(argv[1]);
  const std::string file = argv[2];
  const std::string question = R"({"role": "user", "content": "Tell me a story."})";

  auto device = hotaru::VDevice::create_shared().expect("no device");
  auto whole = LLM::create(device, model).expect("cannot load");
  auto params = whole.create_generator_params();
  params.set_seed(3);
  params.set_max_generated_tokens(60).expect("tokens");
  const std::string undisturbed = text_of(whole.generate(params, {question}));
  std::cout << undisturbed << '\n';

  auto cut = LLM::create(device, model).expect("cannot load");  // shares the weights
  params.set_max_generated_tokens(6).expect("tokens");
  const std::string beginning = text_of(cut.generate(params, {question}));
  cut.save_context(file).expect("cannot save");

  params.set_max_generated_tokens(54).expect("tokens");
  const std::string here = beginning + text_of(cut.resume(params));
  std::cout << (here == undisturbed ? "resumed: the same\n" : "resumed: NOT the same\n");

  auto loaded = LLM::create(device, model).expect("cannot load");
  loaded.load_context(file).expect("cannot load the context");
  auto fork = loaded.fork().expect("cannot fork");  // shares the memory of what both hold
  const std::string there = beginning + text_of(loaded.resume(params));
  std::cout << (there == undisturbed ? "loaded: the same\n" : "loaded: NOT the same\n");

  params.set_seed(4);
  std::cout << "the fork: " << text_of(fork.generate(params, {R"({"role": "user", "content": "Shorter!"})"})) << '\n';
  const bool is_right = here == undisturbed && there == undisturbed;
  return is_right ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << "contexts: " << error.what() << '\n';
  return 1;
}
