// The runtimes by their names.
#pragma once

#include <memory>

#include "litert.hpp"
#include "onnxruntime.hpp"

inline std::unique_ptr<Session> open_session(const std::string& runtime, void* library, const std::string& model,
                                             const Feeds& feeds, int threads) {
  if (runtime == "onnxruntime") return std::make_unique<OnnxRuntime>(library, model, feeds, threads);
  if (runtime == "litert") return std::make_unique<LiteRt>(library, model, feeds, threads);
  fail("runtime=" + runtime + " is unknown; onnxruntime and litert are not");
}
