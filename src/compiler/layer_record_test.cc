#include "compiler/layer_record.h"

#include <gmock/gmock.h>
#include <xxhash.h>

#include <cstring>

#include "compiler/toy_optimisation.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

// A recorded first layer.
class LayerRecord : public testing::Test {
 protected:
  void SetUp() override {
    const auto streams = original_.embed();
    Progress progress("quantise", 0, "thousand weights");
    LayerQuantiser quantiser(&original_.context, streams.get(), &progress);
    LayerRecorder recorder(&original_.context, 0);
    const auto done = quantiser.run(0);
    ASSERT_TRUE(done.ok()) << done.error().message;
    const auto written = recorder.write(file_);
    ASSERT_TRUE(written.ok()) << written.error().message;
  }
  // What replaying the file, with these bytes in it, says.
  [[nodiscard]] std::string error_of(const std::string& bytes) {
    ToyFolder::write(file_, bytes);
    ToyOptimisation copy(folder_.file("broken.har"));
    const auto replayed = replay_layer(file_, 0, copy.context);
    return replayed.ok() ? "no error" : replayed.error().message;
  }

  ToyFolder folder_{"layer_record"};
  std::string file_ = folder_.file("layer");
  ToyOptimisation original_{folder_.file("original.har")};
};

TEST_F(LayerRecord, ReplayingGivesTheSameState) {
  ToyOptimisation copy(folder_.file("copy.har"));
  EXPECT_NE(copy.state(), original_.state());
  const auto replayed = replay_layer(file_, 0, copy.context);
  ASSERT_TRUE(replayed.ok()) << replayed.error().message;
  EXPECT_EQ(copy.report.matrices.size(), 7U);
  EXPECT_EQ(copy.state(), original_.state());
  EXPECT_EQ(copy.finish(), original_.finish());
}

TEST_F(LayerRecord, DamageIsAnError) {
  const std::string bytes = ToyFolder::read(file_);
  std::string flipped = bytes;
  flipped[flipped.size() / 2] ^= 1;
  EXPECT_THAT(error_of(flipped), HasSubstr("checksum is wrong"));
  EXPECT_THAT(error_of(flipped), HasSubstr(file_));
  EXPECT_THAT(error_of(bytes.substr(0, bytes.size() - 1)), HasSubstr("checksum is wrong"));
  EXPECT_THAT(error_of(bytes.substr(0, 15)), HasSubstr("got 15 bytes, want at least 16"));
  EXPECT_THAT(error_of(""), HasSubstr("got 0 bytes"));
}

std::string with_checksum(std::string content) {
  const uint64_t sum = XXH3_64bits(content.data(), content.size());
  return content.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
}

std::string record_of(const std::string& json) {
  const uint64_t length = json.size();
  return with_checksum(std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + json);
}

// Right checksums around what no recorder writes.
TEST_F(LayerRecord, ForeignContentIsAnError) {
  std::string bytes = ToyFolder::read(file_);
  EXPECT_THAT(error_of(with_checksum(std::string(8, '\xFF'))), HasSubstr("longer than the file"));
  EXPECT_THAT(error_of(record_of("{")), HasSubstr(file_));
  EXPECT_THAT(error_of(record_of("{}")), HasSubstr("parameters"));
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  const Json good = Json::parse(bytes.substr(sizeof(length), length));
  EXPECT_THAT(error_of(record_of(good.dump())), HasSubstr("shorter than its tensors"));
  Json bad = good;
  bad["stored"][0][0] = 1000000;
  EXPECT_THAT(error_of(record_of(bad.dump())), HasSubstr("parameter 1000000"));
  bad = good;
  bad["nodes"].erase(0);
  EXPECT_THAT(error_of(record_of(bad.dump())), HasSubstr("got 14 nodes, want 15"));
}

}  // namespace
}  // namespace hotaru
