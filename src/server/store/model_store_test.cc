#include "server/store/model_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/file.h"
#include "format/hef.h"
#include "server/store/store_folder.h"

namespace hotaru::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> names_of(const ModelStore& store) {
  std::vector<std::string> names;
  const Result<std::vector<StoredModel>> models = store.list();
  for (const StoredModel& model : *models) names.push_back(model.name.text());
  return names;
}

uint64_t inode_of(const std::string& path) {
  struct stat status {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_ino;
}

StoredModel made_of(const ModelStore& store, std::string_view base, std::string_view name) {
  StoredModel made = *store.find(base);
  made.parent = base;
  made.name = *ModelName::parse(name);
  return made;
}

TEST(ModelStore, ListsFilesAndTheirAdapters) {
  const StoreFolder folder;
  folder.write("demo.hef", tiny_hef({"captioner", "not a word"}));
  folder.write("library/qwen2:1.5b.hef", tiny_hef({"x"}, 1));
  folder.write("notes.txt", "no model");
  folder.write("bad name.hef", tiny_hef());
  const ModelStore store = folder.open();
  EXPECT_THAT(names_of(store),
              UnorderedElementsAre("demo:latest", "demo:captioner", "library/qwen2:1.5b", "library/qwen2:1.5b:x"));
  const Result<StoredModel> adapter = store.find("demo:captioner");
  ASSERT_TRUE(adapter.ok()) << adapter.error().message;
  EXPECT_EQ(adapter->adapter, "captioner");
  EXPECT_EQ(adapter->hef_path, folder.path("demo.hef"));
  EXPECT_EQ(adapter->bytes, tiny_hef({"captioner", "not a word"}).size());
  EXPECT_GT(adapter->modified_at, 1'700'000'000);
  EXPECT_EQ(store.find("library/qwen2:1.5b:x")->adapter, "x");
  EXPECT_EQ(store.find("demo:latest")->name.text(), "demo:latest");
  const Result<StoredModel> none = store.find("demo:other");
  EXPECT_EQ(none.error().kind, ErrorKind::kNotFound);
  EXPECT_EQ(none.error().message, "model 'demo:other' not found");
  EXPECT_EQ(store.find("nowhere").error().message, "model 'nowhere' not found");
  EXPECT_EQ(store.find("../demo").error().kind, ErrorKind::kInvalid);
}

TEST(ModelStore, ATagWithAFileHidesAnAdapter) {
  const StoreFolder folder;
  folder.write("demo.hef", tiny_hef({"v2"}));
  folder.write("demo:v2.hef", tiny_hef({}, 2));
  const ModelStore store = folder.open();
  EXPECT_EQ(store.find("demo:v2")->adapter, "");
  EXPECT_EQ(store.find("demo:v2")->hef_path, folder.path("demo:v2.hef"));
  EXPECT_THAT(names_of(store), UnorderedElementsAre("demo:latest", "demo:v2"));
}

TEST(ModelStore, DigestIsKeptUntilTheFileChanges) {
  const StoreFolder folder;
  folder.write("demo.hef", tiny_hef());
  const ModelStore store = folder.open();
  EXPECT_EQ(store.find("demo")->digest, "");
  EXPECT_EQ(*store.digest_of(*store.find("demo")), sha256_hex(tiny_hef()));
  EXPECT_EQ(store.find("demo")->digest, sha256_hex(tiny_hef()));
  folder.write("demo.hef", tiny_hef({}, 1));
  EXPECT_EQ(store.find("demo")->digest, "");
  EXPECT_EQ(*store.digest_of(*store.find("demo")), sha256_hex(tiny_hef({}, 1)));
  folder.write(".digests.json", "[not json");
  EXPECT_EQ(*store.digest_of(*store.find("demo")), sha256_hex(tiny_hef({}, 1)));
}

TEST(ModelStore, CopyLinks) {
  const StoreFolder folder;
  folder.write("demo.hef", tiny_hef({"a"}));
  ModelStore store = folder.open();
  ASSERT_TRUE(store.copy("demo", "library/twin:v1").ok());
  EXPECT_EQ(inode_of(folder.path("library/twin:v1.hef")), inode_of(folder.path("demo.hef")));
  // A link over a link to the same file: rename() would leave both.
  ASSERT_TRUE(store.copy("demo", "library/twin:v1").ok());
  ASSERT_TRUE(store.copy("demo", "demo").ok());
  EXPECT_THAT(folder.files(), ElementsAre("demo.hef", "library/twin:v1.hef"));
  ASSERT_TRUE(store.copy("demo:a", "made").ok());
  EXPECT_EQ(store.find("made")->adapter, "a");
  EXPECT_EQ(inode_of(store.find("made")->hef_path), inode_of(folder.path("demo.hef")));
  EXPECT_EQ(store.copy("nowhere", "x").error().message, "model 'nowhere' not found");
  EXPECT_EQ(store.copy("demo", "../x").error().kind, ErrorKind::kInvalid);
  ASSERT_TRUE(store.remove("demo").ok());
  EXPECT_EQ(*store.digest_of(*store.find("library/twin:v1")), sha256_hex(tiny_hef({"a"})));
}

TEST(ModelStore, RemoveTakesBlobsThatNobodyUses) {
  const StoreFolder folder;
  folder.write("sub/demo.hef", tiny_hef());
  ModelStore store = folder.open();
  ASSERT_TRUE(store.create_from_model(made_of(store, "sub/demo", "made")).ok());
  EXPECT_EQ(folder.files().size(), 3U);
  ASSERT_TRUE(store.remove("sub/demo").ok());
  EXPECT_FALSE(folder.has("sub"));
  EXPECT_EQ(store.find("sub/demo").error().kind, ErrorKind::kNotFound);
  EXPECT_TRUE(HefFile::open(store.find("made")->hef_path).ok());
  ASSERT_TRUE(store.remove("made:latest").ok());
  EXPECT_THAT(folder.files(), IsEmpty());
  EXPECT_EQ(store.remove("made").error().message, "model 'made' not found");
}

TEST(ModelStore, AnAdapterIsNotRemovedAlone) {
  const StoreFolder folder;
  folder.write("demo.hef", tiny_hef({"a"}));
  ModelStore store = folder.open();
  EXPECT_THAT(store.remove("demo:a").error().message, HasSubstr("adapter in the file of 'demo'"));
  EXPECT_TRUE(folder.has("demo.hef"));
}

TEST(ModelStore, MadeModelsKeepWhatTheyWereMadeOf) {
  const StoreFolder folder;
  folder.write("demo.hef", tiny_hef({"a"}));
  ModelStore store = folder.open();
  StoredModel made = made_of(store, "demo:a", "mario:v1");
  made.system = "You are Mario.";
  made.chat_template = "{{ messages }}";
  made.license = "MIT";
  made.parameters = {{"temperature", 0.5}, {"stop", {"a", "b"}}};
  ASSERT_TRUE(store.create_from_model(made).ok());
  for (const char* name : {"mario:v1", "luigi"}) {
    const Result<StoredModel> found = store.find(name);
    ASSERT_TRUE(found.ok()) << found.error().message;
    EXPECT_EQ(found->name.text(), ModelName::parse(name)->text());
    EXPECT_EQ(found->parent, "demo:a");
    EXPECT_EQ(found->adapter, "a");
    EXPECT_EQ(found->system, "You are Mario.");
    EXPECT_EQ(found->chat_template, "{{ messages }}");
    EXPECT_EQ(found->license, "MIT");
    EXPECT_EQ(found->parameters, made.parameters);
    EXPECT_EQ(found->digest, sha256_hex(tiny_hef({"a"})));
    ASSERT_TRUE(store.copy("mario:v1", "luigi").ok());
  }
  // Over its own base.
  ASSERT_TRUE(store.create_from_model(made_of(store, "demo", "demo")).ok());
  EXPECT_EQ(store.find("demo")->parent, "demo");
  EXPECT_FALSE(folder.has("demo.hef"));
  // A made model gives way to a HEF of its name.
  ASSERT_TRUE(store.create_from_blob("mario:v1", "sha256:" + sha256_hex(tiny_hef({"a"}))).ok());
  EXPECT_EQ(store.find("mario:v1")->system, "");
}

TEST(ModelStore, DamagedMadeModelsAreNamed) {
  const StoreFolder folder;
  const ModelStore store = folder.open();
  const std::string digest = "sha256:" + std::string(64, 'a');
  for (const std::string& text :
       std::vector<std::string>{"{", "[]", "{}", R"({"hotaru_model": 2, "hef": ")" + digest + "\"}",
                                R"({"hotaru_model": 1, "hef": "sha256:../../../etc/passwd"})",
                                R"({"hotaru_model": 1, "hef": ")" + digest + R"(", "system": 3})"}) {
    folder.write("made.json", text);
    const Result<StoredModel> found = store.find("made");
    ASSERT_FALSE(found.ok()) << text;
    EXPECT_NE(found.error().kind, ErrorKind::kNotFound) << text;
    EXPECT_THAT(names_of(store), IsEmpty());
  }
}

TEST(ModelStore, BlobsAreCheckedAndBecomeModels) {
  const StoreFolder folder;
  ModelStore store = folder.open();
  const std::vector<std::byte> bytes = tiny_hef();
  const std::string digest = "sha256:" + sha256_hex(bytes);
  folder.write("blobs/upload.1.tmp", bytes);
  const Result<void> wrong = store.put_blob("sha256:" + std::string(64, '0'), folder.path("blobs/upload.1.tmp"));
  EXPECT_EQ(wrong.error().kind, ErrorKind::kInvalid);
  EXPECT_THAT(wrong.error().message, HasSubstr("digest mismatch"));
  EXPECT_FALSE(store.has_blob(digest));
  ASSERT_TRUE(store.put_blob(digest, folder.path("blobs/upload.1.tmp")).ok());
  EXPECT_TRUE(store.has_blob(digest));
  EXPECT_FALSE(folder.has("blobs/upload.1.tmp"));
  EXPECT_EQ(store.put_blob("sha256:../../x", "x").error().kind, ErrorKind::kInvalid);
  EXPECT_FALSE(store.has_blob("sha256:" + std::string(64, 'A')));
  ASSERT_TRUE(store.create_from_blob("new/model", digest).ok());
  EXPECT_EQ(store.find("new/model")->digest, digest.substr(7));
  EXPECT_EQ(store.create_from_blob("other", "sha256:" + std::string(64, '0')).error().kind, ErrorKind::kNotFound);
  folder.write("blobs/upload.2.tmp", "no HEF");
  const std::string other = "sha256:" + sha256_hex(std::as_bytes(std::span("no HEF", 6)));
  ASSERT_TRUE(store.put_blob(other, folder.path("blobs/upload.2.tmp")).ok());
  EXPECT_FALSE(store.create_from_blob("other", other).ok());
  EXPECT_FALSE(folder.has("other.hef"));
}

TEST(ModelStore, OpeningTakesAwayWhatDeadProcessesLeft) {
  const StoreFolder folder;
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ::waitpid(dead, nullptr, 0);
  for (const char* name : {"a.hef", "sub/b.json", "blobs/sha256-1", ".digests.json"}) {
    folder.write(fmt::format("{}.{}.tmp", name, dead), "half");
    folder.write(fmt::format("{}.{}.tmp", name, ::getpid()), "half");
  }
  folder.write("blobs/old", "unused");
  std::filesystem::last_write_time(folder.path("blobs/old"),
                                   std::filesystem::file_time_type::clock::now() - std::chrono::hours(48));
  folder.write("blobs/new", "unused");
  ASSERT_TRUE(ModelStore::open(folder.path()).ok());
  EXPECT_FALSE(folder.has(fmt::format(".digests.json.{}.tmp", dead)));
  const std::string mine = fmt::format(".{}.tmp", ::getpid());
  EXPECT_THAT(folder.files(),
              UnorderedElementsAre("a.hef" + mine, "sub/b.json" + mine, "blobs/sha256-1" + mine, "blobs/new"));
}

// What a full disk does, without one: files may not grow beyond a limit.
TEST(ModelStore, AFullDiskLosesNothing) {
  const StoreFolder folder;
  folder.write("demo.hef", tiny_hef());
  ModelStore store = folder.open();
  StoredModel made = made_of(store, "demo", "made");
  ASSERT_TRUE(store.create_from_model(made).ok());
  const std::vector<std::string> before = folder.files();
  made.system = std::string(100'000, 'x');
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ::getrlimit(RLIMIT_FSIZE, &limit);
  const rlimit low{4096, limit.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &low);
  const Result<void> written = store.create_from_model(made);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().kind, ErrorKind::kIo);
  EXPECT_THAT(written.error().message, HasSubstr("made.json: cannot write"));
  EXPECT_EQ(folder.files(), before);
  EXPECT_EQ(store.find("made")->system, "");
}

// Changes without end, for a process that is killed in the middle of one.
[[noreturn]] void change_for_ever(const std::string& path) {
  ModelStore store = *ModelStore::open(path);
  const std::vector<std::byte> bytes = tiny_hef({"a"});
  const std::string digest = "sha256:" + sha256_hex(bytes);
  for (int i = 0;; i++) {
    const std::string upload = fmt::format("{}/upload.{}.tmp", store.blob_folder(), ::getpid());
    Result<OutputFile> file = OutputFile::create(upload);
    if (!file || !file->write(bytes) || !file->commit()) ::_exit(3);
    bool is_good = store.put_blob(digest, upload).ok();
    is_good = is_good && store.create_from_blob("new", digest).ok();
    is_good = is_good && store.copy("new", "sub/copy").ok();
    StoredModel made = made_of(store, "sub/copy", i % 2 == 0 ? "made" : "new");
    made.system = std::string(10'000, 's');
    is_good = is_good && store.create_from_model(made).ok();
    is_good = is_good && store.remove(i % 2 == 0 ? "sub/copy" : "made").ok();
    if (!is_good) ::_exit(4);
  }
}

// A name that is always there, whichever of its two kinds of file holds it.
[[noreturn]] void replace_for_ever(const std::string& path) {
  ModelStore store = *ModelStore::open(path);
  const StoredModel kept = made_of(store, "stays", "kept");
  while (store.copy("stays", "kept").ok() && store.create_from_model(kept).ok()) continue;
  ::_exit(5);
}

TEST(ModelStore, KilledAtAnyMomentIsWhole) {
  const StoreFolder folder;
  folder.write("stays.hef", tiny_hef({}, 7));
  folder.write("kept.hef", tiny_hef({}, 7));
  for (int round = 0; round < 100; round++) {
    const pid_t child = ::fork();
    if (child == 0 && round % 2 == 0) change_for_ever(folder.path());
    if (child == 0) replace_for_ever(folder.path());
    ::usleep(static_cast<useconds_t>(500 + (round * 7919) % 20'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "round " << round << ": the child left with " << WEXITSTATUS(status);
    const ModelStore store = folder.open();
    const Result<std::vector<StoredModel>> models = store.list();
    ASSERT_TRUE(models.ok());
    for (const StoredModel& model : *models) {
      const Result<HefFile> hef = HefFile::open(model.hef_path);
      ASSERT_TRUE(hef.ok()) << model.name.text() << ": " << hef.error().message;
      ASSERT_TRUE(model.system.empty() || model.system.size() == 10'000U);
    }
    ASSERT_TRUE(store.find("stays").ok());
    ASSERT_TRUE(store.find("kept").ok());
    for (const std::string& file : folder.files()) ASSERT_FALSE(file.ends_with(".tmp")) << file;
    for (const char* name : {"new", "made", "sub/copy"}) {
      const Result<StoredModel> found = store.find(name);
      ASSERT_TRUE(found.ok() || found.error().kind == ErrorKind::kNotFound) << found.error().message;
    }
  }
}

}  // namespace
}  // namespace hotaru::server
