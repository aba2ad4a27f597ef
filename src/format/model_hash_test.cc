#include "format/model_hash.h"

#include <gtest/gtest.h>

#include <functional>

#include "format/sample_hef.h"

namespace hotaru {
namespace {

uint64_t hash_after(const std::function<void(SampleHef&)>& change) {
  SampleHef sample;
  change(sample);
  const auto file = sample.pack();
  const auto hef = HefFile::from_bytes(file, "m.hef");
  EXPECT_TRUE(hef.ok()) << hef.error().message;
  return hef.ok() ? model_hash(*hef) : 0;
}

TEST(ModelHash, FollowsWhatChangesTheBits) {
  const uint64_t hash = hash_after([](SampleHef&) {});
  EXPECT_NE(hash_after([](SampleHef& sample) { sample.weights[3] ^= std::byte{1}; }), hash);
  EXPECT_NE(hash_after([](SampleHef& sample) {
              for (const auto& program : sample.meta.programs) {
                for (const auto& call : program->calls) {
                  if (auto* norm = call->operation.AsRmsNormCall()) norm->epsilon = 1e-5F;
                }
              }
            }),
            hash);
}

TEST(ModelHash, IgnoresWhatDoesNot) {
  const uint64_t hash = hash_after([](SampleHef&) {});
  EXPECT_EQ(hash_after([](SampleHef& sample) {
              sample.meta.kv->pages = 9;
              sample.meta.kv->context_tokens = 500;
              sample.meta.identity = std::make_unique<fb::ModelIdentityT>();
              sample.meta.identity->name = "other";
              sample.plan();
            }),
            hash);
}

}  // namespace
}  // namespace hotaru
