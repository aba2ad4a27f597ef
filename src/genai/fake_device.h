// A device for tests: its logits are pseudo-random numbers of the ids so far in a context, so that any wrong, missing
// or stale token changes everything after it. It CHECKs what a caller of Device must keep to.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "base/check.h"
#include "device/device.h"
#include "tensor/random.h"

namespace hotaru {

class FakeDevice : public Device {
 public:
  static constexpr int kPageTokens = 64;
  // Returns the id that should have the highest logit after `ids`, or -1 for pseudo-random logits only.
  using Favourite = std::function<int32_t(const std::vector<int32_t>& ids)>;

  explicit FakeDevice(int vocabulary = 64, int context_tokens = 256) {
    info_.vocabulary = vocabulary;
    info_.context_tokens = context_tokens;
    info_.prefill_rows = 128;
    info_.decode_rows = 4;
    info_.output_rows = 2;
    free_pages_ = (context_tokens + kPageTokens - 1) / kPageTokens;
  }

  void set_favourite(Favourite favourite) { favourite_ = std::move(favourite); }
  void set_free_pages(int pages) { free_pages_ = pages; }
  void set_prefix(std::vector<int32_t> ids) { info_.prefix = std::move(ids); }
  void set_on_step(std::function<void()> on_step) { on_step_ = std::move(on_step); }
  [[nodiscard]] int stepped_tokens() const { return stepped_tokens_; }
  [[nodiscard]] int contexts() const { return static_cast<int>(contexts_.size()); }

  [[nodiscard]] const DeviceInfo& info() const override { return info_; }

  Result<int> create_context() override {
    const int id = next_context_++;
    contexts_[id] = {};
    return id;
  }
  void destroy_context(int context) override {
    truncate(context, 0);
    contexts_.erase(context);
  }
  void set_adapter(int context, int adapter) override {
    CHECK(adapter >= kNoAdapter && adapter < static_cast<int>(info_.adapters.size()));
    contexts_.at(context).adapter = adapter;
  }
  Result<void> reserve(int context, int tokens) override {
    State& state = contexts_.at(context);
    CHECK_LE(tokens, info_.context_tokens);
    for (; state.pages * kPageTokens < tokens; state.pages++) {
      if (free_pages_ == 0) return make_error(ErrorKind::kNoMemory, "no page is left");
      free_pages_--;
    }
    return {};
  }
  void truncate(int context, int tokens) override {
    State& state = contexts_.at(context);
    const int keep = (tokens + kPageTokens - 1) / kPageTokens;
    free_pages_ += std::max(0, state.pages - keep);
    state.pages = std::min(state.pages, keep);
    if (state.ids.size() > static_cast<size_t>(tokens)) state.ids.resize(static_cast<size_t>(tokens));
  }

  void step(std::span<const StepRow> rows) override {
    CHECK(!rows.empty());
    CHECK_LE(rows.size(), static_cast<size_t>(info_.prefill_rows));
    last_step_.clear();
    for (const StepRow& row : rows) {
      CHECK(row.token >= 0 && row.token < info_.vocabulary);
      State& state = contexts_.at(row.context);
      CHECK(row.position >= 0 && static_cast<size_t>(row.position) <= state.ids.size());
      CHECK_LT(row.position, state.pages * kPageTokens);
      state.ids.resize(static_cast<size_t>(row.position));
      state.ids.push_back(row.token);
      last_step_.push_back(state.ids);
    }
    logits_.clear();
    stepped_tokens_ += static_cast<int>(rows.size());
    if (on_step_) on_step_();
  }
  void compute_logits(std::span<const int32_t> rows) override {
    CHECK_LE(rows.size(), static_cast<size_t>(info_.output_rows));
    logits_.clear();
    for (const int32_t row : rows) logits_.push_back(logits_after(last_step_.at(static_cast<size_t>(row))));
  }
  [[nodiscard]] std::span<const float> logits(int index) const override {
    return logits_.at(static_cast<size_t>(index));
  }

 private:
  struct State {
    std::vector<int32_t> ids;
    int pages = 0;
    int adapter = kNoAdapter;
  };

  [[nodiscard]] std::vector<float> logits_after(const std::vector<int32_t>& ids) const {
    uint64_t hash = ids.size();
    for (const int32_t id : ids) hash = Random(hash, static_cast<uint64_t>(id)).next_u64();
    Random random(hash);
    std::vector<float> logits(static_cast<size_t>(info_.vocabulary));
    for (float& logit : logits) logit = random.next_normal() * 3.0F;
    const int32_t favourite = favourite_ ? favourite_(ids) : -1;
    if (favourite >= 0) logits.at(static_cast<size_t>(favourite)) = 100.0F;
    return logits;
  }

  DeviceInfo info_;
  Favourite favourite_;
  std::function<void()> on_step_;
  std::map<int, State> contexts_;
  int next_context_ = 0;
  int free_pages_ = 0;
  int stepped_tokens_ = 0;
  std::vector<std::vector<int32_t>> last_step_;  // the ids up to and with each row
  std::vector<std::vector<float>> logits_;
};

}  // namespace hotaru
