// A complete, tiny context file for tests and fuzzers.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "format/context_file.h"
#include "format/sample_hef.h"

namespace hotaru {

class SampleContext {
 public:
  SampleContext() {
    meta.producer = "hotaru";
    meta.model_name = "sample";
    meta.model_hash = 0x1234;
    meta.adapter = "holmes";
    meta.adapter_hash = 0x5678;
    for (int id = 0; id < 100; id++) meta.ids.push_back(id % 40);
    meta.stored_tokens = 98;
    meta.page_tokens = 64;
    meta.page_bytes = 256;
    meta.cut_reply = std::make_unique<fb::SavedReplyT>();
    meta.cut_reply->sampling = std::make_unique<fb::SavedSamplingT>();
    meta.cut_reply->sampling->logit_bias.push_back(std::make_unique<fb::SavedBiasT>());
    meta.cut_reply->stop_ids = {3};
    meta.cut_reply->recovery_ids = {3, 5};
    meta.cut_reply->recovery_tokens = 1;
    meta.cut_reply->stop = {"User:"};
    meta.cut_reply->generated = {7, 8, 9};
    for (size_t i = 0; i < 512; i++) pages.push_back(static_cast<std::byte>(i / 256 + 1));
  }

  fb::SavedContextT meta;
  std::vector<std::byte> pages;

  [[nodiscard]] std::vector<std::byte> pack() const { return pack(pack_meta(meta)); }
  [[nodiscard]] std::vector<std::byte> pack(std::span<const std::byte> packed_meta) const {
    return pack_container(FileKind::kContext, {{SectionType::kMeta, packed_meta},
                                               {SectionType::kHostState, std::as_bytes(std::span("chat", 4))},
                                               {SectionType::kPages, pages}});
  }
};

}  // namespace hotaru
