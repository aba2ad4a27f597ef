#include "format/safetensors_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>
#include <unordered_set>

namespace hotaru {
namespace {

static_assert(std::endian::native == std::endian::little, "file fields are read as they lie");

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr size_t kMaxDimensions = 16;

std::optional<DType> dtype_of(std::string_view name) {
  for (const DType type : {DType::kF64, DType::kF32, DType::kF16, DType::kBf16, DType::kI32, DType::kI8, DType::kU8,
                           DType::kU16, DType::kI64, DType::kBool}) {
    if (dtype_name(type) == name) return type;
  }
  return std::nullopt;
}

// Builds entries while the parser walks: no document tree, so duplicate keys are seen and a hostile header of many keys
// costs linear time. A callback that returns false stops the parser; `error` says why.
class HeaderReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(std::string_view place) : place_(place) {}

  std::vector<SafetensorsEntry> entries;
  std::optional<Error> error;

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t&) override { return unexpected("a fraction"); }
  bool binary(binary_t&) override { return unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (value > INT64_MAX) return unexpected("a number above 2^63");
    if (state_ == State::kShape) {
      if (entries.back().shape.size() == kMaxDimensions) return fail("more than 16 dimensions");
      entries.back().shape.push_back(static_cast<int64_t>(value));
      return true;
    }
    if (state_ != State::kOffsets) return unexpected("a number");
    if (offsets_seen_ >= 2) return fail("more than two data_offsets");
    (offsets_seen_++ == 0 ? entries.back().begin : entries.back().end) = value;
    return true;
  }

  bool string(string_t& text) override {
    if (state_ == State::kMetadata) return true;
    if (state_ != State::kTensor || field_ != "dtype") return unexpected("a string");
    const std::optional<DType> type = dtype_of(text);
    if (!type) return fail(fmt::format("dtype '{}' is not supported", text.substr(0, 20)));
    entries.back().dtype = *type;
    return true;
  }

  bool start_object(std::size_t) override {
    if (state_ == State::kOutside) return enter(State::kTop);
    if (state_ != State::kTop) return unexpected("an object");
    return enter(name_ == "__metadata__" ? State::kMetadata : State::kTensor);
  }

  bool key(string_t& text) override {
    if (state_ == State::kTop) return start_tensor(text);
    if (state_ == State::kMetadata) return true;
    const size_t field = text == "dtype" ? 0 : text == "shape" ? 1 : text == "data_offsets" ? 2 : 3;
    if (field == 3) return fail(fmt::format("unknown field '{}'", text.substr(0, 40)));
    if (fields_seen_[field]) return fail(fmt::format("field '{}' appears twice", text));
    fields_seen_[field] = true;
    field_ = text;
    return true;
  }

  bool end_object() override {
    if (state_ == State::kTensor && !(fields_seen_[0] && fields_seen_[1] && fields_seen_[2] && offsets_seen_ == 2)) {
      return fail("want dtype, shape and two data_offsets");
    }
    return enter(state_ == State::kTop ? State::kOutside : State::kTop);
  }

  bool start_array(std::size_t) override {
    if (state_ == State::kTensor && field_ == "shape") return enter(State::kShape);
    if (state_ == State::kTensor && field_ == "data_offsets") return enter(State::kOffsets);
    return unexpected("an array");
  }

  bool end_array() override { return enter(State::kTensor); }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    if (!error) error = invalid("{}: the header is not JSON at byte {}", place_, position);
    return false;
  }

 private:
  enum class State { kOutside, kTop, kMetadata, kTensor, kShape, kOffsets };

  bool enter(State state) {
    state_ = state;
    return true;
  }
  bool fail(std::string_view what) {
    if (name_.empty()) {
      error = invalid("{}: header: {}", place_, what);
    } else {
      error = invalid("{}: tensor '{}': {}", place_, name_.substr(0, 200), what);
    }
    return false;
  }
  bool unexpected(std::string_view what) { return fail(fmt::format("{} where the format has none", what)); }

  bool start_tensor(const std::string& name) {
    name_ = name;
    if (!names_.insert(name).second) return fail("appears twice");
    if (name == "__metadata__") return true;
    fields_seen_ = {};
    offsets_seen_ = 0;
    entries.push_back(SafetensorsEntry{name, DType::kF32, {}, 0, 0});
    return true;
  }

  std::string_view place_;
  State state_ = State::kOutside;
  std::string name_;
  std::string field_;
  std::array<bool, 3> fields_seen_{};
  int offsets_seen_ = 0;
  std::unordered_set<std::string> names_;
};

// Bytes of a shape; nothing if they overflow 64 bits.
std::optional<uint64_t> bytes_of(std::span<const int64_t> shape, DType type) {
  uint64_t bytes = dtype_bytes(type);
  for (const int64_t extent : shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(extent), &bytes)) return std::nullopt;
  }
  return bytes;
}

// Sorts by position and checks that tensors tile the data exactly; makes offsets count from the start of the file.
Result<void> check_layout(std::vector<SafetensorsEntry>& entries, uint64_t data_begin, uint64_t data_bytes,
                          std::string_view place) {
  std::sort(entries.begin(), entries.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t expected = 0;
  for (SafetensorsEntry& entry : entries) {
    const auto wrong = [&](const std::string& what) { return invalid("{}: tensor '{}': {}", place, entry.name, what); };
    if (entry.begin > entry.end || entry.end > data_bytes) {
      return wrong(
          fmt::format("bytes [{}, {}) lie outside the file's {} data bytes", entry.begin, entry.end, data_bytes));
    }
    const std::optional<uint64_t> want = bytes_of(entry.shape, entry.dtype);
    if (!want) return wrong(fmt::format("shape {} overflows", shape_text(entry.shape)));
    if (*want != entry.end - entry.begin) {
      return wrong(fmt::format("got {} bytes, want {} for {} {}", entry.end - entry.begin, *want,
                               dtype_name(entry.dtype), shape_text(entry.shape)));
    }
    if (entry.begin != expected) {
      return wrong(fmt::format("starts at byte {}, want {}: tensors may neither overlap nor leave holes", entry.begin,
                               expected));
    }
    expected = entry.end;
    entry.begin += data_begin;
    entry.end += data_begin;
  }
  if (expected != data_bytes) {
    return invalid("{}: the tensors end at byte {} of the data, the file at {}", place, expected, data_bytes);
  }
  return {};
}

}  // namespace

std::string shape_text(std::span<const int64_t> shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

Result<std::vector<SafetensorsEntry>> parse_safetensors_header(std::span<const std::byte> file,
                                                               std::string_view place) {
  uint64_t header_bytes = 0;
  if (file.size() < sizeof(header_bytes)) {
    return invalid("{}: {} bytes are too few for a safetensors file", place, file.size());
  }
  std::memcpy(&header_bytes, file.data(), sizeof(header_bytes));
  if (header_bytes > kMaxHeaderBytes || header_bytes > file.size() - sizeof(header_bytes)) {
    return invalid("{}: a header of {} bytes does not fit the file of {} bytes (truncated, or not safetensors)", place,
                   header_bytes, file.size());
  }
  const std::string_view header(reinterpret_cast<const char*>(file.data()) + sizeof(header_bytes), header_bytes);
  if (!header.starts_with('{')) return invalid("{}: the header does not start with '{{': not safetensors", place);
  HeaderReader reader(place);
  const bool parsed = nlohmann::json::sax_parse(header.begin(), header.end(), &reader);
  if (reader.error) return *std::move(reader.error);
  if (!parsed) return invalid("{}: the header is not JSON", place);
  const uint64_t data_begin = sizeof(header_bytes) + header_bytes;
  TRY(check_layout(reader.entries, data_begin, file.size() - data_begin, place));
  return std::move(reader.entries);
}

}  // namespace hotaru
