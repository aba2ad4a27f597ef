// Pages of a file mapping count as this process' memory once they have been touched.
#pragma once

#include <cstddef>
#include <span>

namespace hotaru {

// Gives back the whole pages inside `bytes`, which lie in a read-only file mapping: they are read again when touched.
// Of use after something large has been read once; ranges below a few pages are left alone.
void drop_mapped_pages(std::span<const std::byte> bytes);

}  // namespace hotaru
