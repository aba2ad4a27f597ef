// A device for tests: its logits are pseudo-random numbers of the ids and adapters so far in a context, so that any
// wrong, missing or stale token changes everything after it. What it knows of a token lies in KV pages as a real
// device's keys do, in the real pool. It CHECKs what a caller of Device must keep to.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "device/device.h"
#include "device/kv_pool.h"
#include "tensor/random.h"

namespace hotaru {

class FakeDevice : public Device {
 public:
  static constexpr int kPageTokens = KvPool::kPageTokens;
  // Returns the id that should have the highest logit after `ids`, or -1 for pseudo-random logits only.
  using Favourite = std::function<int32_t(const std::vector<int32_t>& ids)>;

  // `pages` 0: as many as one context of context_tokens takes.
  explicit FakeDevice(int vocabulary = 64, int context_tokens = 256, int pages = 0) {
    info_.vocabulary = vocabulary;
    info_.context_tokens = context_tokens;
    info_.prefill_rows = 128;
    info_.decode_rows = 4;
    info_.output_rows = 2;
    info_.hidden_width = 8;
    info_.page_tokens = kPageTokens;
    info_.page_bytes = sizeof(Page);
    info_.pages = pages > 0 ? pages : (context_tokens + kPageTokens - 1) / kPageTokens;
    info_.kv_bytes = info_.page_bytes * static_cast<uint64_t>(info_.pages);
    info_.model_hash = 0xfa4e;
    pool_ = *KvPool::create(sizeof(Page), info_.pages);
  }

  void set_favourite(Favourite favourite) { favourite_ = std::move(favourite); }
  // From now on that many pages are free: the others are held by a context that nobody sees.
  void set_free_pages(int pages) {
    if (hoard_ < 0) hoard_ = *pool_.create_context();
    const int held = pool_.reserved_tokens(hoard_) / kPageTokens + pool_.free_pages() - pages;
    CHECK_GE(held, 0);
    pool_.truncate(hoard_, held * kPageTokens);
    CHECK(pool_.reserve(hoard_, 0, held * kPageTokens));
  }
  void set_prefix(std::vector<int32_t> ids) { info_.prefix = std::move(ids); }
  void set_adapters(std::vector<std::string> names) {
    info_.adapter_hashes.clear();
    for (size_t i = 0; i < names.size(); i++) info_.adapter_hashes.push_back(0xada0 + i);
    info_.adapters = std::move(names);
  }
  // As a device with another HEF has.
  void set_hashes(uint64_t model, std::vector<uint64_t> adapters) {
    info_.model_hash = model;
    info_.adapter_hashes = std::move(adapters);
  }
  void set_rows(int prefill, int decode, int output) {
    info_.prefill_rows = prefill;
    info_.decode_rows = decode;
    info_.output_rows = output;
  }
  void set_on_logits(std::function<void(std::span<const float>)> on_logits) { on_logits_ = std::move(on_logits); }
  void set_on_step(std::function<void()> on_step) { on_step_ = std::move(on_step); }
  [[nodiscard]] int stepped_tokens() const { return stepped_tokens_; }
  [[nodiscard]] int contexts() const {
    return static_cast<int>(std::count_if(states_.begin(), states_.end(), [](const State& s) { return s.is_open; }));
  }

  [[nodiscard]] const DeviceInfo& info() const override { return info_; }

  Result<int> create_context() override {
    TRY_ASSIGN(const int context, pool_.create_context());
    states_.at(static_cast<size_t>(context)) = {.is_open = true};
    return context;
  }
  void destroy_context(int context) override {
    state_of(context) = {};
    pool_.destroy_context(context);
  }
  void set_adapter(int context, int adapter) override {
    CHECK(adapter >= kNoAdapter && adapter < static_cast<int>(info_.adapters.size()));
    state_of(context).adapter = adapter;
  }
  Result<void> reserve(int context, int first, int tokens) override {
    CHECK_LE(tokens, info_.context_tokens);
    return pool_.reserve(context, first, tokens);
  }
  Result<void> share(int from, int to, int tokens) override {
    CHECK_EQ(state_of(from).adapter, state_of(to).adapter);
    CHECK_LE(tokens, state_of(from).stored_tokens);
    pool_.share(from, to, tokens);
    state_of(to).stored_tokens = tokens;
    return {};
  }
  void truncate(int context, int tokens) override {
    state_of(context).stored_tokens = std::min(state_of(context).stored_tokens, tokens);
    pool_.truncate(context, tokens);
  }
  [[nodiscard]] int free_pages() const override { return pool_.free_pages(); }
  void read_page(int context, int page, std::span<std::byte> bytes) const override {
    pool_.read_page(context, page, bytes);
  }
  void write_page(int context, int page, std::span<const std::byte> bytes) override {
    State& state = state_of(context);
    CHECK_LE(page * kPageTokens, state.stored_tokens);
    pool_.write_page(context, page, bytes);
    state.stored_tokens = std::max(state.stored_tokens, (page + 1) * kPageTokens);
  }

  void step(std::span<const StepRow> rows) override {
    CHECK(!rows.empty());
    CHECK_LE(rows.size(), static_cast<size_t>(info_.prefill_rows));
    last_step_.clear();
    for (const StepRow& row : rows) {
      CHECK(row.token >= 0 && row.token < info_.vocabulary);
      State& state = state_of(row.context);
      CHECK(row.position >= 0 && row.position <= state.stored_tokens && row.position < info_.context_tokens);
      CHECK(pool_.owns(row.context, row.position));
      slot(row.context, row.position) = {.id = row.token, .adapter = state.adapter, .is_stored = 1};
      state.stored_tokens = row.position + 1;
      last_step_.push_back(stored(row.context, state.stored_tokens));
    }
    logits_.clear();
    stepped_tokens_ += static_cast<int>(rows.size());
    if (on_step_) on_step_();
  }
  void compute_logits(std::span<const int32_t> rows) override {
    CHECK_LE(rows.size(), static_cast<size_t>(info_.output_rows));
    logits_.clear();
    for (const int32_t row : rows) {
      logits_.push_back(logits_after(last_step_.at(static_cast<size_t>(row))));
      if (on_logits_) on_logits_(logits_.back());
    }
  }
  [[nodiscard]] std::span<const float> logits(int index) const override {
    return logits_.at(static_cast<size_t>(index));
  }
  void compute_hidden(std::span<const int32_t> rows) override {
    CHECK_LE(rows.size(), static_cast<size_t>(info_.output_rows));
    logits_.clear();
    hidden_.clear();
    for (const int32_t row : rows) {
      Random random(hash_of(last_step_.at(static_cast<size_t>(row))), 1);
      std::vector<float>& hidden = hidden_.emplace_back(static_cast<size_t>(info_.hidden_width));
      for (float& x : hidden) x = random.next_normal();
    }
  }
  [[nodiscard]] std::span<const float> hidden(int index) const override {
    return hidden_.at(static_cast<size_t>(index));
  }

 private:
  // What stands for a token's keys and values.
  struct Slot {
    int32_t id = 0;
    int32_t adapter = kNoAdapter;
    int32_t is_stored = 0;
  };
  using Page = std::array<Slot, kPageTokens>;
  struct State {
    bool is_open = false;
    int adapter = kNoAdapter;
    int stored_tokens = 0;
  };

  State& state_of(int context) {
    State& state = states_.at(static_cast<size_t>(context));
    CHECK(state.is_open);
    return state;
  }
  [[nodiscard]] Slot& slot(int context, int position) const {
    std::byte* page = pool_.pages(context)[position / kPageTokens];
    return reinterpret_cast<Slot*>(page)[position % kPageTokens];
  }
  [[nodiscard]] std::vector<Slot> stored(int context, int tokens) const {
    std::vector<Slot> slots;
    for (int position = 0; position < tokens; position++) {
      slots.push_back(slot(context, position));
      CHECK_EQ(slots.back().is_stored, 1);
    }
    return slots;
  }

  [[nodiscard]] static uint64_t hash_of(const std::vector<Slot>& slots) {
    uint64_t hash = slots.size();
    for (const Slot& slot : slots) {
      hash = Random(hash, static_cast<uint64_t>(slot.id)).next_u64();
      if (slot.adapter != kNoAdapter) hash = Random(hash, static_cast<uint64_t>(slot.adapter)).next_u64();
    }
    return hash;
  }
  [[nodiscard]] std::vector<float> logits_after(const std::vector<Slot>& slots) const {
    std::vector<int32_t> ids;
    for (const Slot& slot : slots) ids.push_back(slot.id);
    Random random(hash_of(slots));
    std::vector<float> logits(static_cast<size_t>(info_.vocabulary));
    for (float& logit : logits) logit = random.next_normal() * 3.0F;
    const int32_t favourite = favourite_ ? favourite_(ids) : -1;
    if (favourite >= 0) logits.at(static_cast<size_t>(favourite)) = 100.0F;
    return logits;
  }

  DeviceInfo info_;
  Favourite favourite_;
  std::function<void()> on_step_;
  std::function<void(std::span<const float>)> on_logits_;
  KvPool pool_;
  std::array<State, KvPool::kMaxContexts> states_;
  int hoard_ = -1;
  std::atomic<int> stepped_tokens_{0};        // tests look at it while an engine plays
  std::vector<std::vector<Slot>> last_step_;  // what is stored up to and with each row
  std::vector<std::vector<float>> logits_;
  std::vector<std::vector<float>> hidden_;
};

}  // namespace hotaru
