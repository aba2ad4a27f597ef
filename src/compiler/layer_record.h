// What quantising one layer has added to the optimiser's state, as a file of its own: an optimisation that was killed
// goes on behind the last layer whose file is there.
//
//   u64 length of the JSON, JSON, the bytes of the tensors one after the other, u64 XXH3 of everything before
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "compiler/pass.h"

namespace hotaru {

// Watches a layer being quantised and writes it down.
class LayerRecorder {
 public:
  // From here on everything that is stored belongs to the layer.
  LayerRecorder(PassContext* context, int layer);
  ~LayerRecorder();
  LayerRecorder(const LayerRecorder&) = delete;
  LayerRecorder& operator=(const LayerRecorder&) = delete;

  Result<void> write(const std::string& path);

 private:
  struct Tensor {
    TensorHeader header;
    uint64_t bytes;
  };
  PassContext* context_;
  int layer_;
  size_t parameters_, matrices_, ranges_, notes_;  // counts before the layer
  std::vector<Tensor> tensors_;
  std::vector<std::byte> data_;
};

// Does to the state what the recorded layer did. A file that is damaged or of another graph is an error.
Result<void> replay_layer(const std::string& path, int layer, PassContext& context);

}  // namespace hotaru
