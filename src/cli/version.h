// What `hotaru --version` prints.
#pragma once

#include <string>

namespace hotaru::cli {
// "hotaru 0.1.0 (commit abc1234)", then the instruction sets: compiled, available on this machine, in use.
std::string version_text();
// "hotaru 0.1.0": written into the files Hotaru makes, so it must not differ between builds of one version.
std::string producer_text();
std::string commit_text();  // "abc1234"
}  // namespace hotaru::cli
