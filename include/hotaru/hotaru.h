// Hotaru's C++ API: a device, models on it, replies. docs/api.md is the tour.
#pragma once

#include "hotaru/expected.h"
#include "hotaru/genai/llm.h"
#include "hotaru/genai/llm_generator.h"
#include "hotaru/genai/llm_params.h"
#include "hotaru/vdevice.h"
