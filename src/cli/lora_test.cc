// Adapters from `lora add` to the device: bytes of the HAR, bits of the tokens.
#include "compiler/lora.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "cli/toy_model.h"
#include "compiler/compile.h"
#include "compiler/float_executor.h"
#include "compiler/pipeline.h"
#include "device/device.h"
#include "format/har.h"
#include "format/hef.h"
#include "genai/random_schedule.h"
#include "genai/saved_context.h"
#include "model/adapter.h"
#include "model/checkpoint.h"
#include "tensor/random.h"

namespace hotaru {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kModel = std::string(HOTARU_SOURCE_DIR) + "/tests/data/models/random-mistral";
const std::vector<int32_t> kTokens = {3,   141, 59,  265, 358, 97, 93,  238, 462, 443,
                                      383, 279, 402, 8,   8,   8,  300, 1,   0,   76};

std::string bytes_of(const std::string& path) {
  const auto text = read_text_file(path);
  EXPECT_TRUE(text.ok()) << text.error().message;
  return text.ok() ? *text : "";
}

// Everything but the meta and the adapters, at the place where it was.
void expect_same_base(const std::string& har, const std::string& other) {
  const auto one = HarFile::open(har);
  const auto two = HarFile::open(other);
  ASSERT_TRUE(one.ok() && two.ok());
  for (const Section& section : one->container().sections()) {
    if (section.type == SectionType::kMeta || section.type == SectionType::kAdapter) continue;
    const auto want = one->container().section(section.type, section.index);
    const auto found = two->container().section(section.type, section.index);
    ASSERT_TRUE(found.has_value()) << section_name(section.type);
    EXPECT_EQ(want->data() - one->container().bytes().data(), found->data() - two->container().bytes().data());
    EXPECT_TRUE(std::ranges::equal(*want, *found)) << section_name(section.type);
  }
}

class Lora : public testing::Test {
 protected:
  void SetUp() override {
    set_verbosity(Verbosity::kQuiet);
    std::filesystem::create_directories(folder_);
    const auto checkpoint = Checkpoint::open(kModel);
    const auto graph = build_graph(*checkpoint);
    ASSERT_TRUE(graph.ok());
    write_adapter({path("all"), {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}, 8, 1},
                  *graph);
    write_adapter({path("few"), {"v_proj", "o_proj"}, 3, 2}, *graph);
    write_adapter({path("ffn"), {"gate_proj", "down_proj"}, 4, 3}, *graph);
    optimise_as("rtn");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void optimise_as(const std::string& recipe) {
    OptimiseOptions options;
    options.recipe = recipe;
    options.calibration.samples = 4;
    options.calibration.sequence = 128;
    const auto optimised = optimise(kModel, path("base.har"), options, pool_);
    ASSERT_TRUE(optimised.ok()) << optimised.error().message;
  }
  Result<AddedAdapter> add(const std::string& har, const std::string& adapter, const std::string& output,
                           bool transports = true) {
    AddAdapterOptions options;
    options.transports = transports;
    options.calibration.samples = 4;
    options.calibration.sequence = 128;
    return add_adapter({path(har), path(adapter), path(output)}, options, pool_);
  }
  void compile(const std::string& har, const std::string& hef) {
    const auto compiled = compile_har(path(har), path(hef), {}, pool_);
    ASSERT_TRUE(compiled.ok()) << compiled.error().message;
  }

  // one.har has "all"; three.har and three.hef have "all", "few", "ffn".
  void add_three() {
    ASSERT_TRUE(add("base.har", "all", "one.har").ok());
    ASSERT_TRUE(add("one.har", "few", "three.har").ok());
    ASSERT_TRUE(add("three.har", "ffn", "three.har").ok());
    compile("three.har", "three.hef");
  }

  ThreadPool pool_{1};
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("hotaru_lora_" + std::to_string(::getpid()));
};

TEST_F(Lora, AddingAndRemovingLeaveTheBaseAlone) {
  const auto added = add("base.har", "all", "one.har");
  ASSERT_TRUE(added.ok()) << added.error().message;
  EXPECT_EQ(added->name, "all");
  EXPECT_EQ(added->rank, 8);
  EXPECT_EQ(added->targets.size(), 7U);
  expect_same_base(path("base.har"), path("one.har"));
  ASSERT_TRUE(add("one.har", "few", "two.har").ok());
  expect_same_base(path("base.har"), path("two.har"));

  ASSERT_TRUE(add("base.har", "all", "again.har").ok());
  EXPECT_TRUE(bytes_of(path("again.har")) == bytes_of(path("one.har")));
  const auto twice = add("two.har", "few", "three.har");
  ASSERT_FALSE(twice.ok());
  EXPECT_THAT(twice.error().message, HasSubstr("there is an adapter 'few' already"));
  EXPECT_FALSE(std::filesystem::exists(path("three.har")));

  // In place, the first of two.
  ASSERT_TRUE(remove_adapter(path("two.har"), "all", path("two.har"), pool_).ok());
  const auto rest = HarFile::open(path("two.har"));
  ASSERT_TRUE(rest.ok()) << rest.error().message;
  ASSERT_EQ(rest->meta().adapters()->size(), 1U);
  ASSERT_TRUE(add("base.har", "few", "few.har").ok());
  EXPECT_TRUE(bytes_of(path("two.har")) == bytes_of(path("few.har")));
  ASSERT_TRUE(remove_adapter(path("two.har"), "few", path("two.har"), pool_).ok());
  EXPECT_TRUE(bytes_of(path("two.har")) == bytes_of(path("base.har")));
  const auto missing = remove_adapter(path("one.har"), "few", path("x.har"), pool_);
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().message, HasSubstr("there is no adapter 'few'; there are: all"));
}

// Plays the ids in a context of its own, `chunk` rows a step.
Logits logits_alone(Device& device, int adapter, int chunk) {
  const auto context = device.create_context();
  EXPECT_TRUE(context.ok());
  device.set_adapter(*context, adapter);
  const int tokens = static_cast<int>(kTokens.size());
  EXPECT_TRUE(device.reserve(*context, 0, tokens).ok());
  Logits logits;
  for (int first = 0; first < tokens; first += chunk) {
    std::vector<StepRow> rows;
    for (int t = first; t < std::min(tokens, first + chunk); t++) {
      rows.push_back({kTokens[static_cast<size_t>(t)], t, *context});
    }
    device.step(rows);
    for (int32_t row = 0; row < static_cast<int32_t>(rows.size()); row++) {
      device.compute_logits({&row, 1});
      logits.emplace_back(device.logits(0).begin(), device.logits(0).end());
    }
  }
  device.destroy_context(*context);
  return logits;
}

LanguageModel model_of(std::unique_ptr<Device> device) {
  LanguageModel::Parts parts;
  parts.name = "toy";
  parts.device = std::move(device);
  return *LanguageModel::from_parts(std::move(parts));
}

// One row of every context in every step.
std::vector<Logits> logits_together(Device& device, const std::vector<int>& adapters) {
  std::vector<int> contexts;
  for (const int adapter : adapters) {
    contexts.push_back(*device.create_context());
    device.set_adapter(contexts.back(), adapter);
    EXPECT_TRUE(device.reserve(contexts.back(), 0, static_cast<int>(kTokens.size())).ok());
  }
  std::vector<Logits> logits(adapters.size());
  for (size_t t = 0; t < kTokens.size(); t++) {
    std::vector<StepRow> rows;
    for (const int context : contexts) rows.push_back({kTokens[t], static_cast<int32_t>(t), context});
    device.step(rows);
    for (size_t i = 0; i < contexts.size(); i++) {
      const auto row = static_cast<int32_t>(i);
      device.compute_logits({&row, 1});
      logits[i].emplace_back(device.logits(0).begin(), device.logits(0).end());
    }
  }
  for (const int context : contexts) device.destroy_context(context);
  return logits;
}

std::unique_ptr<Device> open_device(const std::string& hef, Isa isa, int threads) {
  DeviceOptions options;
  options.isa = isa;
  options.threads = threads;
  auto device = Device::open(hef, options);
  EXPECT_TRUE(device.ok()) << device.error().message;
  return *std::move(device);
}

TEST_F(Lora, EveryContextGetsTheBitsOfItsAdapterAlone) {
  ASSERT_TRUE(add("base.har", "all", "two.har").ok());
  ASSERT_TRUE(add("two.har", "few", "two.har").ok());
  compile("base.har", "base.hef");
  compile("two.har", "two.hef");
  const auto reference = open_device(path("two.hef"), Isa::kRef, 1);
  EXPECT_THAT(reference->info().adapters, ElementsAre("all", "few"));
  EXPECT_EQ(find_adapter(reference->info(), "few").value(), 1);
  EXPECT_THAT(find_adapter(reference->info(), "fee").error().message, HasSubstr("'fee'; there are: all, few"));
  const Logits base = logits_alone(*open_device(path("base.hef"), Isa::kRef, 1), kNoAdapter, 1);
  const Logits all = logits_alone(*reference, 0, 1);
  const Logits few = logits_alone(*reference, 1, 1);
  EXPECT_EQ(logits_alone(*reference, kNoAdapter, 1), base);
  EXPECT_NE(all, base);
  EXPECT_NE(few, base);
  for (const Isa isa : available_isas()) {
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(std::string(isa_name(isa)) + ", threads: " + std::to_string(threads));
      const auto device = open_device(path("two.hef"), isa, threads);
      EXPECT_EQ(logits_alone(*device, 0, 20), all);
      EXPECT_EQ(logits_alone(*device, 1, 7), few);
      EXPECT_EQ(logits_alone(*device, kNoAdapter, 20), base);
      EXPECT_THAT(logits_together(*device, {0, 1, kNoAdapter, 1, 0}), ElementsAre(all, few, base, few, all));
    }
  }
}

TEST_F(Lora, RepliesUnderManyAdaptersAreWhatEachIsAlone) {
  ASSERT_TRUE(add("base.har", "all", "two.har").ok());
  ASSERT_TRUE(add("two.har", "few", "two.har").ok());
  compile("two.har", "two.hef");
  const auto alone = open_device(path("two.hef"), Isa::kRef, 1);
  RandomSchedule schedule(
      open_device(path("two.hef"), best_isa(), 2), *alone, {.unread_pieces = 4},
      {.seed = 3, .longest_prompt = 40, .longest_reply = 8, .pages_are_scarce = true, .folder = folder_.string()});
  schedule.play(500);
  EXPECT_GT(schedule.count("switch"), 3);
  EXPECT_GT(schedule.count("token"), 50);
}

// The base model and three adapters in every step.
TEST_F(Lora, FourRepliesUnderFourAdaptersInOneBatchAreWhatEachIsAlone) {
  add_three();
  const auto alone = open_device(path("three.hef"), Isa::kRef, 1);
  EngineCore core(model_of(open_device(path("three.hef"), best_isa(), 2)), {}, std::make_shared<EngineSignals>());
  GenerationRequest request;
  request.ids = kTokens;
  request.options.max_tokens = 12;
  std::vector<std::shared_ptr<ReplyChannel>> channels;
  for (request.adapter = kNoAdapter; request.adapter < 3; request.adapter++) {
    channels.push_back(core.submit(request, 1)->front());
  }
  int full_steps = 0;
  while (core.step()) full_steps += core.scheduler().decode_rows() == 4 ? 1 : 0;
  EXPECT_GE(full_steps, 10);
  std::set<std::vector<int32_t>> different;
  for (int adapter = kNoAdapter; adapter < 3; adapter++) {
    Context context = *Context::create(*alone, adapter);
    context.append(kTokens);
    const auto wanted = generate(context, request.options, nullptr, nullptr);
    ASSERT_TRUE(wanted.ok());
    EXPECT_EQ(channels[static_cast<size_t>(adapter + 1)]->result().token_ids, wanted->token_ids);
    different.insert(wanted->token_ids);
  }
  EXPECT_EQ(different.size(), 4U);
}

// So contexts of the base model stay good, in either direction, and an adapter's when others come.
TEST_F(Lora, AddingLeavesTheModelHashAndSavedContexts) {
  add_three();
  compile("base.har", "base.hef");
  compile("one.har", "one.hef");
  const auto base = open_device(path("base.hef"), best_isa(), 1);
  const auto one = open_device(path("one.hef"), best_isa(), 1);
  const auto three = open_device(path("three.hef"), best_isa(), 1);
  EXPECT_EQ(base->info().model_hash, one->info().model_hash);
  EXPECT_EQ(base->info().model_hash, three->info().model_hash);
  EXPECT_EQ(one->info().adapter_hashes.front(), three->info().adapter_hashes.front());
  const auto carries = [&](Device& from, int adapter, Device& to) {
    Context context = *Context::create(from, adapter);
    context.append(kTokens);
    EXPECT_TRUE(save_context(context, std::nullopt, {"m", ""}, path("context")).ok());
    return load_context(to, "m", path("context")).ok();
  };
  EXPECT_TRUE(carries(*base, kNoAdapter, *three));
  EXPECT_TRUE(carries(*three, kNoAdapter, *base));
  EXPECT_TRUE(carries(*one, 0, *three));
  EXPECT_FALSE(carries(*three, 2, *one));
}

// A pointer is all that changes: nothing of the base or of the adapters is loaded.
TEST_F(Lora, SwitchingTakesLessThanAMillisecond) {
  add_three();
  const auto device = open_device(path("three.hef"), best_isa(), 1);
  Context context = *Context::create(*device);
  context.append(kTokens);
  double best_seconds = 1.0;
  for (int i = 0; i < 30; i++) {
    const auto start = std::chrono::steady_clock::now();
    context.set_adapter(i % 4 - 1);
    best_seconds =
        std::min(best_seconds, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  fmt::print("switching takes {:.2f} us\n", best_seconds * 1e6);
  EXPECT_LT(best_seconds, 0.001);
}

Logits float_logits_of(const std::string& adapter) {
  const auto checkpoint = Checkpoint::open(kModel);
  auto graph = build_graph(*checkpoint);
  if (!adapter.empty()) attach(*graph, open_adapter(adapter, *graph)->additions);
  const ParameterSource parameters(&*graph, &checkpoint->tensors);
  ThreadPool pool(1);
  FloatExecutor executor(&*graph, &parameters, &pool);
  Logits logits;
  const auto sink = [&logits](int64_t, std::span<const float> row) { logits.emplace_back(row.begin(), row.end()); };
  EXPECT_TRUE(float_logits(executor, *graph, kTokens, sink).ok());
  return logits;
}

class LoraAccuracy : public Lora {
 protected:
  void expect_close() {
    ASSERT_TRUE(add("base.har", "all", "two.har").ok());
    ASSERT_TRUE(add("two.har", "few", "two.har").ok());
    EXPECT_GT(cosine_of("two.har", "all"), 0.9);
    EXPECT_GT(cosine_of("two.har", "few"), 0.9);
  }
  // Of what the adapter does to the device's logits and to the float model's.
  double cosine_of(const std::string& har, const std::string& adapter) {
    compile(har, "a.hef");
    const auto device = open_device(path("a.hef"), best_isa(), 1);
    const Logits base = logits_alone(*device, kNoAdapter, 20);
    const Logits adapted = logits_alone(*device, *find_adapter(device->info(), adapter), 20);
    return cosine_of_changes(base, adapted, float_logits_of(""), float_logits_of(path(adapter)));
  }
};

TEST_F(LoraAccuracy, ChangesLogitsAsTheFloatAdapterDoes) { expect_close(); }

// The test of the test: in the rotated basis an adapter that was not carried along is noise.
TEST_F(LoraAccuracy, NeedsTransportThroughTheFullRecipe) {
  optimise_as("full");
  expect_close();
  ASSERT_TRUE(add("base.har", "all", "wrong.har", false).ok());
  EXPECT_LT(cosine_of("wrong.har", "all"), 0.3);
}

TEST_F(Lora, RefusesAnAdapterOfAnotherModel) {
  Json json = Json::parse(bytes_of(kModel + "/config.json"));
  json["intermediate_size"] = json["intermediate_size"].get<int>() + 32;
  const auto config = parse_model_config(json, "other");
  ASSERT_TRUE(config.ok()) << config.error().message;
  const auto graph = build_graph(*config, "other");
  write_adapter({path("other"), {"down_proj"}, 4, 1}, *graph);
  const std::string before = bytes_of(path("base.har"));
  const auto added = add("base.har", "other", "base.har");
  ASSERT_FALSE(added.ok());
  EXPECT_THAT(added.error().message, HasSubstr("down_proj.lora_A.weight"));
  EXPECT_TRUE(bytes_of(path("base.har")) == before);
}

}  // namespace
}  // namespace hotaru
