// What vectors hold, given back.
#pragma once

#include <vector>

namespace hotaru {

// `values = {}` empties a vector and keeps its memory: it assigns an empty list.
template <typename T>
void give_memory_back(std::vector<T>& values) {
  std::vector<T>().swap(values);
}

}  // namespace hotaru
