// config.json: sizes, switches and what is refused. Rope is rope.cc's, generation_config.json generation_config.cc's.
#include "model/config.h"

#include <array>

#include "model/family.h"
#include "model/rope.h"

namespace hotaru {
namespace {

// The largest model this reads: two orders of magnitude above an edge device, and small enough that no product of two
// sizes overflows.
constexpr int64_t kMaxWidth = 65536;
constexpr int64_t kMaxLayers = 1024;
constexpr int64_t kMaxHeads = 1024;
constexpr int64_t kMaxHeadWidth = 1024;
constexpr int64_t kMaxVocabulary = int64_t{1} << 21;
constexpr int64_t kMaxPositions = int64_t{1} << 24;

struct Size {
  const char* field;
  int64_t ModelConfig::*member;
  int64_t low, high;
};
constexpr std::array kSizes = {
    Size{"hidden_size", &ModelConfig::width, 32, kMaxWidth},
    Size{"intermediate_size", &ModelConfig::ffn_width, 32, 8 * kMaxWidth},
    Size{"num_hidden_layers", &ModelConfig::layers, 1, kMaxLayers},
    Size{"num_attention_heads", &ModelConfig::query_heads, 1, kMaxHeads},
    Size{"vocab_size", &ModelConfig::vocabulary, 2, kMaxVocabulary},
    Size{"max_position_embeddings", &ModelConfig::max_positions, 1, kMaxPositions},
};

Result<void> require_multiple(std::string_view what, int64_t found, int64_t of) {
  if (found % of == 0) return {};
  return not_supported("{}: got {}, want a multiple of {}", what, found, of);
}

Result<void> read_heads(const Json& json, const Family& family, ModelConfig& config) {
  TRY_ASSIGN(config.kv_heads, json_integer(json, "num_key_value_heads", config.query_heads, 1, kMaxHeads));
  if (config.query_heads % config.kv_heads != 0) {
    return invalid("'num_key_value_heads': got {}, want a divisor of num_attention_heads {}", config.kv_heads,
                   config.query_heads);
  }
  TRY_ASSIGN(config.head_width, json_integer(json, "head_dim", family.default_head_width, 1, kMaxHeadWidth));
  if (config.head_width != 0) return {};
  if (config.width % config.query_heads != 0) {
    return invalid("'hidden_size': got {}, want a multiple of num_attention_heads {} (there is no 'head_dim')",
                   config.width, config.query_heads);
  }
  config.head_width = config.width / config.query_heads;
  return {};
}

// The packed weights' and kernels' granularity (kernels/packed.h).
Result<void> check_granularity(const ModelConfig& config) {
  TRY(require_multiple("'hidden_size'", config.width, 32));
  TRY(require_multiple("'intermediate_size'", config.ffn_width, 32));
  TRY(require_multiple("head width", config.head_width, 16));
  TRY(require_multiple("attention width (heads x head width)", config.query_heads * config.head_width, 32));
  const int64_t attention_width = config.query_heads * config.head_width;
  if (attention_width <= kMaxWidth) return {};
  return invalid("attention width (heads x head width): got {}, want at most {}", attention_width, kMaxWidth);
}

Result<void> check_activation(const Json& json) {
  TRY_ASSIGN(const std::string activation, json_string(json, "hidden_act", "silu"));
  if (activation == "silu" || activation == "swish") return {};
  return not_supported("'hidden_act': got \"{}\", want \"silu\"", activation);
}

Result<void> check_layer_types(const Json& json) {
  const auto found = json.find("layer_types");
  if (found == json.end() || found->is_null()) return {};
  if (!found->is_array()) return invalid("'layer_types': got another type, want a list of names");
  for (const Json& type : *found) {
    if (type.is_string() && type.get_ref<const std::string&>() == "full_attention") continue;
    return not_supported("'layer_types': got {}, want only \"full_attention\"",
                         type.is_string() ? type.get<std::string>() : "an entry that is not a name");
  }
  return {};
}

Result<void> check_unquantised(const Json& json) {
  for (const char* field : {"quantization_config", "compression_config"}) {
    const auto found = json.find(field);
    if (found == json.end() || found->is_null()) continue;
    return not_supported("'{}': this checkpoint is already quantised; want float32, float16 or bfloat16 weights",
                         field);
  }
  // What the tensors are is read from the tensors; the field only has to make sense.
  TRY(json_string(json, "torch_dtype", ""));
  TRY(json_string(json, "dtype", ""));
  return {};
}

Result<ModelConfig> parse(const Json& json) {
  if (!json.is_object()) return invalid("got {}, want an object", json.type_name());
  TRY_ASSIGN(const Family* family, find_family(json));
  TRY(check_unquantised(json));
  ModelConfig config;
  config.architecture = family->architecture;
  config.model_type = family->model_type;
  for (const Size& size : kSizes) {
    TRY_ASSIGN(config.*size.member, json_integer(json, size.field, size.low, size.high));
  }
  TRY(read_heads(json, *family, config));
  TRY(check_granularity(config));
  TRY_ASSIGN(const double epsilon, json_number(json, "rms_norm_eps", 1e-6, 0, 1));
  config.norm_epsilon = static_cast<float>(epsilon);
  TRY_ASSIGN(config.tied_embeddings, json_bool(json, "tie_word_embeddings", false));
  TRY(check_activation(json));
  TRY(check_layer_types(json));
  TRY_ASSIGN(config.rope, parse_rope_config(json));
  TRY(family->read_switches(json, config));
  return config;
}

}  // namespace

Result<ModelConfig> parse_model_config(const Json& json, std::string_view place) {
  auto parsed = parse(json);
  if (!parsed) return at(place, std::move(parsed).error());
  return parsed;
}

}  // namespace hotaru
