#include "compiler/resume_folder.h"

#include <gmock/gmock.h>

#include "compiler/toy_optimisation.h"

namespace hotaru {
namespace {

using testing::HasSubstr;

class Resume : public testing::Test {
 protected:
  // Quantises both layers and keeps them; `between` may look at the folder after the first.
  void keep_two_layers(const std::function<void()>& between = [] {}) {
    auto folder = ResumeFolder::open(path_, "key", false);
    ASSERT_TRUE(folder.ok()) << folder.error().message;
    const auto streams = original_.embed();
    Progress progress("quantise", 0, "thousand weights");
    LayerQuantiser quantiser(&original_.context, streams.get(), &progress);
    for (int layer = 0; layer < 2; layer++) {
      LayerRecorder recorder(&original_.context, layer);
      ASSERT_TRUE(quantiser.run(layer).ok());
      const auto kept = folder->keep(layer, recorder, *streams);
      ASSERT_TRUE(kept.ok()) << kept.error().message;
      if (layer == 0) between();
    }
  }
  [[nodiscard]] int layers_done() const {
    const auto folder = ResumeFolder::open(path_, "key", true);
    EXPECT_TRUE(folder.ok()) << folder.error().message;
    return folder.ok() ? folder->layers_done() : -1;
  }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

  ToyFolder folder_{"resume_folder"};
  std::string path_ = folder_.file("toy.har.resume");
  ToyOptimisation original_{folder_.file("original.har")};
};

TEST_F(Resume, GoesOnWithTheSameState) {
  std::string after_one;
  keep_two_layers([&] { after_one = original_.state(); });
  EXPECT_FALSE(std::filesystem::exists(file("streams-0000")));
  ToyOptimisation copy(folder_.file("copy.har"));
  const auto streams = copy.embed();
  const auto folder = ResumeFolder::open(path_, "key", true);
  ASSERT_TRUE(folder.ok()) << folder.error().message;
  ASSERT_EQ(folder->layers_done(), 2);
  const auto replayed = folder->replay(copy.context, *streams);
  ASSERT_TRUE(replayed.ok()) << replayed.error().message;
  EXPECT_NE(copy.state(), after_one);
  EXPECT_EQ(copy.state(), original_.state());
  EXPECT_EQ(copy.finish(), original_.finish());
}

TEST_F(Resume, StreamsComeBack) {
  const auto folder = ResumeFolder::open(path_, "key", false);
  const auto streams = original_.embed();
  Progress progress("quantise", 0, "thousand weights");
  LayerQuantiser quantiser(&original_.context, streams.get(), &progress);
  LayerRecorder recorder(&original_.context, 0);
  ASSERT_TRUE(quantiser.run(0).ok());
  ASSERT_TRUE(folder->keep(0, recorder, *streams).ok());
  ToyOptimisation copy(folder_.file("copy.har"));
  const auto fresh = copy.embed();
  ASSERT_TRUE(ResumeFolder::open(path_, "key", true)->replay(copy.context, *fresh).ok());
  for (const auto stream : {&TwinStreams::exact, &TwinStreams::device}) {
    std::vector<float> want;
    std::vector<float> got;
    ASSERT_TRUE(((*streams).*stream).residual.read({0, 64}, want).ok());
    ASSERT_TRUE(((*fresh).*stream).residual.read({0, 64}, got).ok());
    EXPECT_EQ(got, want);
  }
}

TEST_F(Resume, AnotherKeyIsRefused) {
  keep_two_layers();
  const auto folder = ResumeFolder::open(path_, "another key", true);
  ASSERT_FALSE(folder.ok());
  EXPECT_THAT(folder.error().message,
              HasSubstr("--resume: " + path_ + " belongs to another checkpoint, text or other "));
  EXPECT_TRUE(std::filesystem::exists(file("layer-0001"))) << "an error removes nothing";
  // Without --resume it starts anew.
  const auto fresh = ResumeFolder::open(path_, "another key", false);
  ASSERT_TRUE(fresh.ok());
  EXPECT_EQ(fresh->layers_done(), 0);
  EXPECT_FALSE(std::filesystem::exists(file("layer-0001")));
}

// Killed between the streams and the layer's file, or before the streams were on the disk.
TEST_F(Resume, GoesBackToTheLastLayerWithItsStreams) {
  keep_two_layers([this] { std::filesystem::copy(file("streams-0000"), folder_.file("kept")); });
  EXPECT_EQ(layers_done(), 2);
  std::filesystem::copy(folder_.file("kept"), file("streams-0000"));
  std::filesystem::rename(file("streams-0001"), folder_.file("away"));
  EXPECT_EQ(layers_done(), 1);
  std::filesystem::rename(folder_.file("away"), file("streams-0001"));
  std::filesystem::remove(file("layer-0001"));
  EXPECT_EQ(layers_done(), 1);
  std::filesystem::remove(file("streams-0000"));
  EXPECT_EQ(layers_done(), 0);
}

TEST_F(Resume, CutStreamsAreAnError) {
  keep_two_layers();
  std::filesystem::resize_file(file("streams-0001"), 100);
  ToyOptimisation copy(folder_.file("copy.har"));
  const auto streams = copy.embed();
  const auto replayed = ResumeFolder::open(path_, "key", true)->replay(copy.context, *streams);
  ASSERT_FALSE(replayed.ok());
  EXPECT_THAT(replayed.error().message, HasSubstr("streams-0001: got 100 bytes, want 49152"));
}

TEST_F(Resume, WithoutAFolderNothingIsKept) {
  const auto folder = ResumeFolder::open("", "key", true);
  ASSERT_TRUE(folder.ok());
  EXPECT_EQ(folder->layers_done(), 0);
  const auto streams = original_.embed();
  LayerRecorder recorder(&original_.context, 0);
  EXPECT_TRUE(folder->keep(0, recorder, *streams).ok());
}

}  // namespace
}  // namespace hotaru
