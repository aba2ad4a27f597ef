// Not part of the program. Each line that names a check after `//` violates it; check_tidy.py wants exactly these complaints, so
// that a clang-tidy (or project_scope.cc) that no longer looks is seen.
#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

using std::map;  // misc-unused-using-decls

struct lower_struct {};  // readability-identifier-naming

struct Base {
  virtual ~Base() = default;
  virtual int value(int argument) { return argument; }
};
struct Derived : Base {
  virtual int value(int argument) { return argument + 1; }  // modernize-use-override
};

int six(int a, int b, int c, int d, int e, int f) { return a + b + c + d + e + f; }  // readability-function-size

int moved(std::string text) {
  const std::string other = std::move(text);
  return static_cast<int>(other.size() + text.size());  // bugprone-use-after-move
}

bool is_empty(const std::vector<int>& list) { return list.size() == 0; }  // readability-container-size-empty

int* null() { return 0; }  // modernize-use-nullptr

std::size_t copied(std::vector<std::string> list) {  // performance-unnecessary-value-param
  std::size_t sum = 0;
  for (const std::string entry : list) sum += entry.size();  // performance-for-range-copy
  return sum;
}

double half(int whole) { return whole / 2; }  // bugprone-integer-division

template <typename T>
void drop(std::vector<T>& list) {
  std::remove(list.begin(), list.end(), T{});  // bugprone-unused-return-value
}
template void drop(std::vector<int>&);

int branches(int value) {
  if (value > 2) {  // bugprone-branch-clone
    return 1;
  } else {  // readability-else-after-return
    return 1;
  }
}
