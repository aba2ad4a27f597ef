#include "compiler/calibration_documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace hotaru {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Files : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::create_directories(folder_); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string write(const std::string& name, const std::string& text) {
    const std::string path = (folder_ / name).string();
    std::ofstream(path) << text;
    return path;
  }
  std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("hotaru_documents_" + std::to_string(::getpid()));
};

using CalibrationFiles = Files;

TEST_F(CalibrationFiles, TextsAndConversations) {
  const std::string text = write("a.txt", "One.\n\nTwo.\n");
  const std::string lines = write("b.jsonl", "{\"text\": \"Three.\"}\n\n{\"messages\": [{\"role\": \"user\"}]}\n");
  const auto documents = read_calibration_documents({text, lines});
  ASSERT_TRUE(documents.ok()) << documents.error().message;
  EXPECT_THAT(documents->texts, ElementsAre("One.\n\nTwo.\n", "Three."));
  EXPECT_THAT(documents->conversations, ElementsAre("[{\"role\":\"user\"}]"));
  EXPECT_EQ(documents->source, "a.txt, b.jsonl");
}

TEST_F(CalibrationFiles, ErrorsNameFileAndLine) {
  const auto message = [](const std::string& path) {
    const auto documents = read_calibration_documents({path});
    return documents.ok() ? "no error" : documents.error().message;
  };
  EXPECT_THAT(message(write("c.jsonl", "{\"text\": \"a\"}\n{\"text\": 3}\n")), HasSubstr("c.jsonl line 2"));
  EXPECT_THAT(message(write("d.jsonl", "[1]\n")), HasSubstr("want an object"));
  EXPECT_THAT(message(write("e.jsonl", "{\n")), HasSubstr("e.jsonl line 1"));
  EXPECT_THAT(message(write("f.md", "text")), HasSubstr("want a .txt or a .jsonl file"));
  EXPECT_THAT(message((folder_ / "absent.txt").string()), HasSubstr("absent.txt"));
}

TEST(CalibrationDocuments, TheTextInsideTheBinaryIsTheFile) {
  std::ifstream file(std::string(HOTARU_SOURCE_DIR) + "/src/compiler/default_calibration.txt", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(default_calibration_text(), text);
  const auto documents = read_calibration_documents({});
  ASSERT_TRUE(documents.ok());
  EXPECT_THAT(documents->texts, ElementsAre(text));
}

TEST(CalibrationDocuments, ParagraphsBecomeTurns) {
  const auto conversations = conversations_from({"a\n\nb\n\nc\n\nd\n\ne"}, 4);
  EXPECT_THAT(conversations,
              ElementsAre("[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},"
                          "{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]"));
}

TEST(CalibrationDocuments, PiecesEndWithParagraphs) {
  EXPECT_THAT(pieces_of({"aaaa\n\nbb", "cc\n\n\n\ndd"}, 6), ElementsAre("aaaa\n\n", "bb\n\ncc\n\n", "dd\n\n"));
}

}  // namespace
}  // namespace hotaru
