#include "compiler/resume_folder.h"

#include <filesystem>

#include "base/file.h"
#include "compiler/layer_record.h"

namespace hotaru {
namespace {

namespace fs = std::filesystem;

Result<void> write_stream(const ResidualStore& store, OutputFile& file, const std::vector<TokenChunk>& chunks) {
  std::vector<float> rows;
  for (const TokenChunk& chunk : chunks) {
    TRY(store.read({chunk.begin, chunk.tokens}, rows));
    TRY(file.write(std::as_bytes(std::span(rows))));
  }
  return {};
}

Result<void> read_stream(std::span<const float> values, ResidualStore& store, const std::vector<TokenChunk>& chunks) {
  for (const TokenChunk& chunk : chunks) {
    TRY(store.write({chunk.begin, chunk.tokens},
                    values.subspan(chunk.begin * store.width(), chunk.tokens * store.width())));
  }
  return {};
}

}  // namespace

Result<ResumeFolder> ResumeFolder::open(const std::string& path, const std::string& key, bool resume) {
  ResumeFolder folder;
  folder.path_ = path;
  if (path.empty()) return folder;
  std::error_code error;
  if (!resume) fs::remove_all(path, error);
  const std::string key_file = path + "/key";
  if (resume && fs::exists(key_file)) {
    TRY_ASSIGN(const std::string found, read_text_file(key_file));
    if (found != key) {
      return invalid("--resume: {} belongs to another checkpoint, text or other options; run without --resume", path);
    }
    while (fs::exists(folder.file("layer", folder.layers_done_))) folder.layers_done_++;
    // A layer whose streams are not there was killed between the two.
    while (folder.layers_done_ > 0 && !fs::exists(folder.file("streams", folder.layers_done_ - 1)))
      folder.layers_done_--;
    return folder;
  }
  fs::create_directories(path, error);
  if (error) return make_error(ErrorKind::kIo, "{}: cannot be made: {}", path, error.message());
  TRY_ASSIGN(OutputFile file, OutputFile::create(key_file));
  TRY(file.write(key));
  TRY(file.commit());
  return folder;
}

Result<void> ResumeFolder::replay(PassContext& context, TwinStreams& streams) const {
  if (layers_done_ == 0) return {};
  for (int layer = 0; layer < layers_done_; layer++) TRY(replay_layer(file("layer", layer), layer, context));
  const std::string path = file("streams", layers_done_ - 1);
  TRY_ASSIGN(const MappedFile rows, MappedFile::open(path));
  const size_t count = streams.exact.residual.tokens() * streams.exact.residual.width();
  if (rows.bytes().size() != 2 * count * sizeof(float)) {
    return invalid("{}: got {} bytes, want {}", path, rows.bytes().size(), 2 * count * sizeof(float));
  }
  const std::span<const float> values(reinterpret_cast<const float*>(rows.bytes().data()), 2 * count);
  TRY(read_stream(values.first(count), streams.exact.residual, streams.chunks));
  return read_stream(values.last(count), streams.device.residual, streams.chunks);
}

Result<void> ResumeFolder::keep(int layer, LayerRecorder& recorder, const TwinStreams& streams) const {
  if (path_.empty()) return {};
  TRY_ASSIGN(OutputFile rows, OutputFile::create(file("streams", layer)));
  TRY(write_stream(streams.exact.residual, rows, streams.chunks));
  TRY(write_stream(streams.device.residual, rows, streams.chunks));
  TRY(rows.commit());
  TRY(recorder.write(file("layer", layer)));
  std::error_code error;
  if (layer > 0) fs::remove(file("streams", layer - 1), error);
  return {};
}

std::string ResumeFolder::file(const char* kind, int layer) const {
  return fmt::format("{}/{}-{:04}", path_, kind, layer);
}

}  // namespace hotaru
