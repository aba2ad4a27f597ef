// Digests of files that were hashed before, kept in a file of the store: a model of gigabytes is read once.
#pragma once

#include <string>

#include "base/result.h"

namespace hotaru::server {

// Empty: not known, or the file has changed since.
std::string known_digest(const std::string& folder, const std::string& file);
// Known or computed and kept. That it cannot be kept is no error.
Result<std::string> digest_of_file(const std::string& folder, const std::string& file);
// Known from elsewhere.
void keep_digest(const std::string& folder, const std::string& file, const std::string& digest);

}  // namespace hotaru::server
