// The folder beside a HAR in the making that holds the finished layers, so that a killed optimisation can go on.
//
//   key             what the layers belong to: the same checkpoint, text and options
//   layer-0007      layer_record.h
//   streams-0007    both residual streams behind the layer: [tokens, D] float, exact then device; the last one only
#pragma once

#include <string>

#include "base/result.h"
#include "compiler/layer_record.h"
#include "compiler/twin_streams.h"

namespace hotaru {

class ResumeFolder {
 public:
  // `path` empty: nothing is kept. With `resume`, layers of the same key stay and others are an error; without, what
  // was there is removed.
  static Result<ResumeFolder> open(const std::string& path, const std::string& key, bool resume);

  // Layers finished earlier: 0 .. layers_done() - 1.
  [[nodiscard]] int layers_done() const { return layers_done_; }
  Result<void> replay(PassContext& context, TwinStreams& streams) const;
  Result<void> keep(int layer, LayerRecorder& recorder, const TwinStreams& streams) const;

 private:
  [[nodiscard]] std::string file(const char* kind, int layer) const;
  std::string path_;
  int layers_done_ = 0;
};

}  // namespace hotaru
