// For tests: an LLM on a fake device, with the demo model's tokenizer and chat template.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/llm_state.h"
#include "genai/fake_device.h"
#include "genai/scripted_reply.h"
#include "text/text_bundle.h"

#ifndef HOTARU_SOURCE_DIR  // Defined for test programs; not for the check that headers compile alone.
#define HOTARU_SOURCE_DIR "."
#endif

namespace hotaru::genai {

// An LLM whose model says `script` after every prompt of messages, then the end of turn; without a script it says
// pseudo-random things.
struct FakeLlm {
  explicit FakeLlm(const std::string& script = "", int context_tokens = 2048)
      : device(VDevice::create_shared().value()), model(load(script, context_tokens)), llm(*create_llm(model, "")) {}

  std::shared_ptr<LoadedModel> load(const std::string& script, int context_tokens) {
    LanguageModel::Parts parts;
    parts.name = "demo";
    auto fake = std::make_unique<FakeDevice>(4096, context_tokens);
    const auto bundle = TextBundle::load(std::string(HOTARU_SOURCE_DIR) + "/models/demo");
    parts.tokenizer = *Tokenizer::create(bundle->tokenizer_json);
    parts.chat_template = *ChatTemplate::create(*bundle);
    parts.defaults.eos_ids = {kEndOfTurn};
    if (!script.empty()) fake->set_favourite(says(*parts.tokenizer, script));
    fake->set_on_step([this] {
      if (on_step) on_step();
    });
    parts.device = std::move(fake);
    return *LoadedModel::create(device, *LanguageModel::from_parts(std::move(parts)));
  }

  std::function<void()> on_step;  // on the engine's thread; set it before a reply begins
  std::shared_ptr<VDevice> device;
  std::shared_ptr<LoadedModel> model;
  LLM llm;
};

inline const std::vector<std::string> kHello = {R"({"role":"user","content":"Hello"})"};

}  // namespace hotaru::genai
