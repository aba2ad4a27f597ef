// config.json and generation_config.json: both spellings, and everything that must be refused with its field's name.
#include "model/config.h"

#include <gtest/gtest.h>

#include <cmath>

#include "model/family.h"

namespace hotaru {
namespace {

Json base_config() {
  return Json::parse(R"({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": 128,
    "intermediate_size": 352, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "vocab_size": 100, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
    "rope_scaling": null, "tie_word_embeddings": false, "torch_dtype": "float16"})");
}

Json of_family(const Family& family) {
  Json json = base_config();
  json["architectures"] = {family.architecture};
  json["model_type"] = family.model_type;
  return json;
}

ModelConfig parsed(const Json& json) {
  auto config = parse_model_config(json, "config.json");
  EXPECT_TRUE(config.ok()) << config.error().message;
  return config ? *config : ModelConfig();
}

std::string refusal(const Json& json) {
  const auto config = parse_model_config(json, "config.json");
  return config ? "accepted" : config.error().message;
}

void expect_refused(const Json& json, const std::string& part) {
  const std::string message = refusal(json);
  EXPECT_TRUE(message.starts_with("config.json: ")) << message;
  EXPECT_NE(message.find(part), std::string::npos) << message << "\n  want it to say: " << part;
}

TEST(ModelConfig, ReadsTransformers4) {
  const ModelConfig config = parsed(base_config());
  EXPECT_EQ(config.architecture, "LlamaForCausalLM");
  EXPECT_EQ(config.width, 128);
  EXPECT_EQ(config.ffn_width, 352);
  EXPECT_EQ(config.layers, 2);
  EXPECT_EQ(config.query_heads, 4);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_width, 32);
  EXPECT_EQ(config.vocabulary, 100);
  EXPECT_EQ(config.max_positions, 512);
  EXPECT_EQ(config.norm_epsilon, 1e-5F);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_FALSE(config.attention_bias || config.output_bias || config.mlp_bias || config.head_norm);
  EXPECT_EQ(config.rope.type, RopeType::kDefault);
  EXPECT_EQ(config.rope.theta, 10000);
}

TEST(ModelConfig, BothSpellingsOfRopeMeanTheSame) {
  Json older = base_config();
  older["rope_theta"] = 500000.0;
  older["rope_scaling"] = Json::parse(R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 128})");
  Json newer = base_config();
  newer.erase("rope_theta");
  newer.erase("rope_scaling");
  newer.erase("torch_dtype");
  newer["dtype"] = "bfloat16";
  newer["rope_parameters"] = older["rope_scaling"];
  newer["rope_parameters"]["rope_theta"] = 500000.0;
  for (const Json& json : {older, newer}) {
    const RopeConfig rope = parsed(json).rope;
    EXPECT_EQ(rope.type, RopeType::kLlama3);
    EXPECT_EQ(rope.theta, 500000);
    EXPECT_EQ(rope.factor, 8);
    EXPECT_EQ(rope.low_frequency_factor, 1);
    EXPECT_EQ(rope.high_frequency_factor, 4);
    EXPECT_EQ(rope.original_max_positions, 128);
  }
  older["rope_scaling"] = Json::parse(R"({"type": "linear", "factor": 2.0})");
  EXPECT_EQ(parsed(older).rope.type, RopeType::kLinear);
  older["rope_scaling"] = Json::parse(R"({"type": "default"})");
  EXPECT_EQ(parsed(older).rope.type, RopeType::kDefault);
}

TEST(ModelConfig, AbsentFieldsMeanWhatTransformersMeans) {
  Json json = base_config();
  for (const char* field : {"num_key_value_heads", "hidden_act", "rms_norm_eps", "rope_theta", "rope_scaling",
                            "tie_word_embeddings", "torch_dtype", "model_type"}) {
    json.erase(field);
  }
  const ModelConfig config = parsed(json);
  EXPECT_EQ(config.kv_heads, 4);
  EXPECT_EQ(config.norm_epsilon, 1e-6F);
  EXPECT_EQ(config.rope.theta, 10000);
  EXPECT_FALSE(config.tied_embeddings);
  json["head_dim"] = nullptr;
  EXPECT_EQ(parsed(json).head_width, 32);
  json["head_dim"] = 64;
  EXPECT_EQ(parsed(json).head_width, 64);
  json.erase("architectures");
  json["model_type"] = "qwen3";
  json.erase("head_dim");
  EXPECT_EQ(parsed(json).architecture, "Qwen3ForCausalLM");
  EXPECT_EQ(parsed(json).head_width, 128);
}

TEST(ModelConfig, FamiliesHaveTheirSwitches) {
  EXPECT_TRUE(parsed(of_family(qwen2_family())).attention_bias);
  EXPECT_FALSE(parsed(of_family(qwen2_family())).output_bias);
  EXPECT_TRUE(parsed(of_family(qwen3_family())).head_norm);
  EXPECT_FALSE(parsed(of_family(qwen3_family())).attention_bias);
  Json llama = of_family(llama_family());
  llama["attention_bias"] = true;
  llama["mlp_bias"] = true;
  EXPECT_TRUE(parsed(llama).attention_bias && parsed(llama).output_bias && parsed(llama).mlp_bias);
  EXPECT_FALSE(parsed(of_family(mistral_family())).attention_bias);
}

TEST(ModelConfig, MistralsWindowLimitsPositions) {
  Json json = of_family(mistral_family());
  json["sliding_window"] = 128;
  EXPECT_EQ(parsed(json).max_positions, 128);
  EXPECT_NE(parsed(json).note.find("positions limited to 128 of 512"), std::string::npos);
  json["sliding_window"] = 4096;
  EXPECT_EQ(parsed(json).max_positions, 512);
  EXPECT_EQ(parsed(json).note, "");
  json["sliding_window"] = nullptr;
  EXPECT_EQ(parsed(json).max_positions, 512);
}

TEST(ModelConfig, RefusesWhatTheDecoderDoesNotHave) {
  struct Case {
    const char* field;
    Json value;
    const char* part;
  };
  const std::vector<Case> cases = {
      {"architectures",
       {"MixtralForCausalLM"},
       "architecture MixtralForCausalLM is not supported; supported are "
       "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM"},
      {"architectures", Json::array(), "'architectures': got 0 entries"},
      {"architectures", "LlamaForCausalLM", "'architectures'"},
      {"architectures", {3}, "'architectures'"},
      {"model_type", "gemma2", "'model_type': got \"gemma2\", want \"llama\""},
      {"model_type", 3, "'model_type': got 3, want a string"},
      {"hidden_act", "gelu", "'hidden_act': got \"gelu\", want \"silu\""},
      {"hidden_act", 1, "'hidden_act': got 1, want a string"},
      {"quantization_config", Json::parse(R"({"bits": 4})"),
       "'quantization_config': this checkpoint is already quantised"},
      {"layer_types", {"full_attention", "sliding_attention"}, "'layer_types': got sliding_attention"},
      {"layer_types", {1}, "'layer_types'"},
      {"partial_rotary_factor", 0.5, "'partial_rotary_factor': got 0.5, want 1"},
      {"rope_scaling", Json::parse(R"({"rope_type": "yarn", "factor": 4.0})"),
       "\"yarn\" is not supported; supported are default, linear, llama3"},
      {"rope_scaling", Json::parse(R"({"type": "dynamic", "factor": 4.0})"), "\"dynamic\" is not supported"},
      {"rope_scaling", Json::parse(R"({"type": "linear"})"), "rope_scaling: 'factor': missing"},
      {"rope_scaling", Json::parse(R"({"type": "linear", "factor": 0.5})"), "'factor': got 0.5"},
      {"rope_scaling", Json::parse(R"({"type": "linear", "factor": "2"})"), "'factor': got \"2\""},
      {"rope_scaling", Json::parse(R"({"type": 3})"), "'type': got 3, want a string"},
      {"rope_scaling", 2, "'rope_scaling': got number, want an object"},
      {"rope_parameters", Json::parse(R"({"full_attention": {"rope_theta": 1.0}})"),
       "got parameters of 'full_attention'"},
      {"rope_scaling", Json::parse(R"({"rope_type": "llama3", "factor": 8.0})"), "'low_freq_factor': missing"},
      {"rope_scaling",
       Json::parse(R"({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4, "high_freq_factor": 4,
        "original_max_position_embeddings": 128})"),
       "'high_freq_factor': got 4, want more than low_freq_factor 4"},
      {"hidden_size", 136, "'hidden_size': got 136, want a multiple of 32"},
      {"intermediate_size", 350, "'intermediate_size': got 350, want a multiple of 32"},
      {"head_dim", 40, "head width: got 40, want a multiple of 16"},
      {"num_attention_heads", 6, "'hidden_size': got 128, want a multiple of num_attention_heads 6"},
      {"num_key_value_heads", 3, "'num_key_value_heads': got 3, want a divisor of num_attention_heads 4"},
      {"torch_dtype", 16, "'torch_dtype': got 16, want a string"},
  };
  for (const Case& one : cases) {
    Json json = base_config();
    json[one.field] = one.value;
    SCOPED_TRACE(one.field);
    expect_refused(json, one.part);
  }
  Json qwen = of_family(qwen2_family());
  qwen["use_sliding_window"] = true;
  expect_refused(qwen, "'use_sliding_window': got true");
  expect_refused(Json::parse("[]"), "got array, want an object");
  Json nameless = base_config();
  nameless.erase("architectures");
  nameless.erase("model_type");
  expect_refused(nameless, "'architectures': missing");
}

TEST(ModelConfig, RefusesSizesThatAreMissingNegativeHugeOrMistyped) {
  for (const char* field : {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
                            "vocab_size", "max_position_embeddings", "num_key_value_heads", "head_dim"}) {
    SCOPED_TRACE(field);
    const std::string name = std::string("'") + field + "'";
    const bool is_optional = std::string_view(field) == "num_key_value_heads" || std::string_view(field) == "head_dim";
    Json json = base_config();
    json.erase(field);
    if (is_optional) {
      EXPECT_EQ(refusal(json), "accepted");
    } else {
      expect_refused(json, name + ": missing, want an integer in [");
    }
    for (const char* value : {"-1", "0", "9223372036854775807", "18446744073709551615", "1e300", "-1e300", "128.5",
                              "\"128\"", "true", "[128]", "{}"}) {
      SCOPED_TRACE(value);
      json[field] = Json::parse(value);
      expect_refused(json, name + ": got ");
    }
  }
}

TEST(ModelConfig, RefusesNumbersAndSwitchesThatMakeNoSense) {
  struct Case {
    const char* field;
    std::vector<const char*> values;
  };
  const std::vector<Case> cases = {
      {"rms_norm_eps", {"-1e-6", "2", "\"1e-6\"", "true"}},
      {"rope_theta", {"-1", "0", "1e30", "\"x\"", "[]"}},
      {"tie_word_embeddings", {"1", "\"true\"", "[]"}},
      {"attention_bias", {"0", "\"no\""}},
      {"mlp_bias", {"2"}},
  };
  for (const Case& one : cases) {
    for (const char* value : one.values) {
      Json json = base_config();
      json[one.field] = Json::parse(value);
      SCOPED_TRACE(value);
      expect_refused(json, std::string("'") + one.field + "': got ");
    }
  }
  Json window = of_family(mistral_family());
  window["sliding_window"] = -4;
  expect_refused(window, "'sliding_window': got -4");
}

TEST(Rope, InverseFrequencies) {
  RopeConfig rope;
  const std::vector<double> plain = rope_inverse_frequencies(rope, 32);
  ASSERT_EQ(plain.size(), 16U);
  EXPECT_DOUBLE_EQ(plain[0], 1);
  EXPECT_DOUBLE_EQ(plain[8], 0.01);
  rope.type = RopeType::kLinear;
  rope.factor = 4;
  EXPECT_DOUBLE_EQ(rope_inverse_frequencies(rope, 32)[8], 0.0025);
}

TEST(Rope, Llama3StretchesLongWavesOnly) {
  RopeConfig rope;
  rope.theta = 500000;
  const std::vector<double> plain = rope_inverse_frequencies(rope, 128);
  rope.type = RopeType::kLlama3;
  rope.factor = 8;
  rope.original_max_positions = 8192;
  const std::vector<double> scaled = rope_inverse_frequencies(rope, 128);
  for (size_t j = 0; j < plain.size(); j++) {
    const double wave_length = 2 * M_PI / plain[j];
    if (wave_length < 2048) {
      EXPECT_DOUBLE_EQ(scaled[j], plain[j]) << j;
    } else if (wave_length > 8192) {
      EXPECT_DOUBLE_EQ(scaled[j], plain[j] / 8) << j;
    } else {
      EXPECT_LT(scaled[j], plain[j]) << j;
      EXPECT_GT(scaled[j], plain[j] / 8) << j;
    }
  }
}

TEST(GenerationConfig, ReadsIdsAsNumberOrList) {
  const Json model = Json::parse(R"({"eos_token_id": 2, "bos_token_id": 1, "pad_token_id": -1})");
  const auto fallback = parse_generation_config(Json::object(), model, "generation_config.json");
  ASSERT_TRUE(fallback.ok()) << fallback.error().message;
  EXPECT_EQ(fallback->eos_ids, std::vector<int32_t>{2});
  EXPECT_EQ(fallback->bos_id, 1);
  EXPECT_FALSE(fallback->pad_id.has_value());
  EXPECT_FALSE(fallback->do_sample);
  const Json own = Json::parse(R"({"eos_token_id": [7, 8, 7], "do_sample": true, "temperature": 0.5, "top_k": 20,
    "top_p": 0.9, "repetition_penalty": 1.1})");
  const auto config = parse_generation_config(own, model, "generation_config.json");
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->eos_ids, (std::vector<int32_t>{7, 8}));
  EXPECT_EQ(config->bos_id, 1);
  EXPECT_EQ(config->temperature, 0.5);
  EXPECT_EQ(config->top_k, 20);
  EXPECT_EQ(config->top_p, 0.9);
  EXPECT_EQ(config->repetition_penalty, 1.1);
  EXPECT_FALSE(config->min_p.has_value());
}

TEST(GenerationConfig, RefusesNonsense) {
  for (const char* text : {R"({"eos_token_id": "x"})", R"({"eos_token_id": [null]})", R"({"eos_token_id": [-5]})",
                           R"({"eos_token_id": 4294967296})", R"({"bos_token_id": []})", R"({"temperature": -1})",
                           R"({"temperature": "hot"})", R"({"top_p": 1.5})", R"({"top_k": 0.5})", R"({"do_sample": 1})",
                           R"({"repetition_penalty": 0})", R"([])"}) {
    const auto config = parse_generation_config(Json::parse(text), Json::object(), "generation_config.json");
    ASSERT_FALSE(config.ok()) << text;
    EXPECT_TRUE(config.error().message.starts_with("generation_config.json: ")) << config.error().message;
  }
}

}  // namespace
}  // namespace hotaru
