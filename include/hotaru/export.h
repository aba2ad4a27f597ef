// What the shared library shows: everything else in it is hidden.
#pragma once

#define HOTARU_API __attribute__((visibility("default")))
#define HOTARU_HIDDEN __attribute__((visibility("hidden")))  // inside a class that is shown
