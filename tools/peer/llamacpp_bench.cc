// Times llama.cpp as node-llama-cpp 3.22.1 ships it (libllama v0.5.0, no headers): what `hotaru bench` measures, in the
// same way, printed with the same names. Built and run by tools/bench_peer.py.
//
//   llamacpp_bench MODEL.gguf BACKEND.so THREADS REPEAT PROMPTS DEPTHS      lists like 96,512
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

// Parameters go in and out by value, in memory: only their size and these places matter.
struct Parameters {
  unsigned char bytes[1024];
};
constexpr int kContextTokens = 0, kBatchTokens = 1, kChunkTokens = 2, kThreads = 7, kBatchThreads = 8;  // int32 fields

extern "C" {
Parameters llama_model_default_params();
Parameters llama_context_default_params();
void* ggml_backend_load(const char* path);
void llama_backend_init();
void* llama_model_load_from_file(const char* path, Parameters parameters);
void* llama_init_from_model(void* model, Parameters parameters);
Parameters llama_batch_get_one(int32_t* tokens, int32_t count);
int32_t llama_decode(void* context, Parameters batch);
void llama_synchronize(void* context);
float* llama_get_logits_ith(void* context, int32_t index);
void* llama_get_memory(void* context);
void llama_memory_clear(void* memory, bool data);
const void* llama_model_get_vocab(const void* model);
int32_t llama_vocab_n_tokens(const void* vocabulary);
void llama_log_set(void (*log)(int, const char*, void*), void* user);
}

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

std::vector<int> numbers(const std::string& list) {
  std::vector<int> found;
  std::stringstream text(list);
  for (std::string item; std::getline(text, item, ',');) found.push_back(std::stoi(item));
  return found;
}

struct Peer {
  void* context = nullptr;
  int vocabulary = 0;
  std::vector<int32_t> tokens;

  // Puts the tokens behind what is there; the most likely next one.
  int32_t decode(int32_t* of, int count) const {
    if (llama_decode(context, llama_batch_get_one(of, count)) != 0) {
      std::fprintf(stderr, "llama_decode failed\n");
      std::exit(1);
    }
    llama_synchronize(context);
    const float* logits = llama_get_logits_ith(context, -1);
    return static_cast<int32_t>(std::max_element(logits, logits + vocabulary) - logits);
  }
  void clear() const { llama_memory_clear(llama_get_memory(context), false); }
};

double first_token_ms(Peer& peer, int prompt) {
  peer.clear();
  const auto start = Clock::now();
  peer.decode(peer.tokens.data(), prompt);
  return ms_since(start);
}

std::vector<double> token_ms(Peer& peer, int depth) {
  constexpr int kSteps = 32;
  peer.clear();
  if (depth > 0) peer.decode(peer.tokens.data(), depth);
  std::vector<double> times;
  int32_t token = peer.tokens[5];
  for (int step = 0; step < kSteps; step++) {
    const auto start = Clock::now();
    token = peer.decode(&token, 1);
    times.push_back(ms_since(start));
  }
  return times;
}

void print_map(const char* name, const std::vector<std::pair<int, double>>& values) {
  std::printf("\"%s\": {", name);
  for (size_t i = 0; i < values.size(); i++) {
    std::printf("%s\"%d\": %.4f", i > 0 ? ", " : "", values[i].first, values[i].second);
  }
  std::printf("}, ");
}

}  // namespace

int main(int count, char** argument) {
  if (count != 7) return 2;
  const int threads = std::stoi(argument[3]);
  const int repeat = std::stoi(argument[4]);
  llama_log_set([](int, const char*, void*) {}, nullptr);
  if (ggml_backend_load(argument[2]) == nullptr) {
    std::fprintf(stderr, "%s: cannot be loaded\n", argument[2]);
    return 1;
  }
  llama_backend_init();
  const auto start = Clock::now();
  void* model = llama_model_load_from_file(argument[1], llama_model_default_params());
  if (model == nullptr) return 1;
  Parameters parameters = llama_context_default_params();
  auto* field = reinterpret_cast<int32_t*>(parameters.bytes);
  field[kContextTokens] = field[kBatchTokens] = 4096;
  field[kChunkTokens] = 512;
  field[kThreads] = field[kBatchThreads] = threads;
  Peer peer;
  peer.context = llama_init_from_model(model, parameters);
  if (peer.context == nullptr) return 1;
  const double load_ms = ms_since(start);
  peer.vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(model));
  for (int i = 0; i < 4096; i++) peer.tokens.push_back(300 + (i * 7919 + 13) % (peer.vocabulary - 400));
  first_token_ms(peer, 64);

  std::vector<std::pair<int, double>> ttft, decode;
  for (const int prompt : numbers(argument[5])) {
    std::vector<double> times;
    for (int i = 0; i < repeat; i++) times.push_back(first_token_ms(peer, prompt));
    ttft.emplace_back(prompt, median(times));
  }
  for (const int depth : numbers(argument[6])) {
    std::vector<double> times;
    for (int i = 0; i < repeat; i++) {
      const std::vector<double> some = token_ms(peer, depth);
      times.insert(times.end(), some.begin(), some.end());
    }
    decode.emplace_back(depth, median(times));
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  std::printf("{");
  print_map("ttft_ms", ttft);
  print_map("decode_ms", decode);
  std::printf("\"load_ms\": %.1f, \"peak_rss_bytes\": %ld}\n", load_ms, usage.ru_maxrss * 1024);
  std::fflush(stdout);
  std::_Exit(0);  // its own way out is slow and may crash
}
