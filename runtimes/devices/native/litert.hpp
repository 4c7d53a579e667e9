// LiteRT 2.x, through its C interface. It gives out handles only, so that the few functions used need no header: their names are
// looked up, their parameters are as in litert/c/*.h of google-ai-edge/LiteRT. Every one returns 0 when it has done its work.
#pragma once

#include <cstdlib>
#include <utility>

#include "session.hpp"

class LiteRt : public Session {  // on the CPU, through CompiledModel: the library exports no interpreter
 public:
  LiteRt(void* library, const std::string& model, const Feeds& feeds, int threads) : library_(library) {
    name = "ai-edge-litert";
    call("LiteRtCreateEnvironment", 0, static_cast<const void*>(nullptr), &environment_);
    Handle file = nullptr, signature = nullptr, options = cpu_options(threads);
    call("LiteRtCreateModelFromFile", environment_, model.c_str(), &file);
    call("LiteRtCreateCompiledModel", environment_, file, options, &compiled_);
    call("LiteRtGetModelSignature", file, size_t{0}, &signature);
    inputs_ = buffers(signature, "Input", &names_);
    results_ = buffers(signature, "Output", &outputs);
    for (size_t i = 0; i < inputs_.size(); i++) fill(inputs_[i], names_[i], feeds);
    run_ = symbol<decltype(run_)>(library_, "LiteRtRunCompiledModel");
  }

  void run() override {
    const int status = run_(compiled_, 0, inputs_.size(), inputs_.data(), results_.size(), results_.data());
    if (status) fail("litert: LiteRtRunCompiledModel gave status " + std::to_string(status));
  }

  void write_output(size_t index, const std::string& path) override {
    const auto [data, size] = lock(results_[index], kRead);
    write_file(path, data, size);
    call("LiteRtUnlockTensorBuffer", results_[index]);
  }

 private:
  struct Opaque;
  using Handle = Opaque*;
  static constexpr int kCpu = 1, kRead = 0, kWrite = 1;

  template <class... Arguments>
  void call(const std::string& function, Arguments... arguments) {
    const int status = symbol<int (*)(Arguments...)>(library_, function.c_str())(arguments...);
    if (status) fail("litert: " + function + " gave status " + std::to_string(status));
  }

  Handle cpu_options(int threads) {
    Handle options = nullptr, cpu = nullptr;
    call("LiteRtCreateOptions", &options);
    call("LiteRtSetOptionsHardwareAccelerators", options, kCpu);
    char* const toml = strdup(("num_threads = " + std::to_string(threads) + "\n").c_str());
    call("LiteRtCreateOpaqueOptions", "xnnpack", static_cast<void*>(toml), &std::free, &cpu);
    call("LiteRtAddOpaqueOptions", options, cpu);
    return options;
  }

  // A buffer for every input or output of the signature; their names.
  std::vector<Handle> buffers(Handle signature, const std::string& kind, std::vector<std::string>* names) {
    size_t count = 0;
    call("LiteRtGetNumSignature" + kind + "s", signature, &count);
    std::vector<Handle> found(count);
    for (size_t i = 0; i < count; i++) {
      const char* text = nullptr;
      call("LiteRtGetSignature" + kind + "Name", signature, i, &text);
      names->emplace_back(text);
      Handle tensor = nullptr, requirements = nullptr;
      call("LiteRtGetSignature" + kind + "TensorByIndex", signature, i, &tensor);
      alignas(16) char type[1024] = {};  // LiteRtRankedTensorType, some 100 bytes: handed on, never looked at
      call("LiteRtGetRankedTensorType", tensor, static_cast<void*>(type));
      call("LiteRtGetCompiledModel" + kind + "BufferRequirements", compiled_, size_t{0}, i, &requirements);
      call("LiteRtCreateManagedTensorBufferFromRequirements", environment_, static_cast<const void*>(type), requirements,
           &found[i]);
    }
    return found;
  }

  void fill(Handle buffer, const std::string& input, const Feeds& feeds) {
    const auto [data, size] = lock(buffer, kWrite);
    std::memcpy(data, feed(feeds, input, size).data(), size);
    call("LiteRtUnlockTensorBuffer", buffer);
  }

  std::pair<void*, size_t> lock(Handle buffer, int mode) {
    void* data = nullptr;
    size_t size = 0;
    call("LiteRtGetTensorBufferPackedSize", buffer, &size);
    call("LiteRtLockTensorBuffer", buffer, &data, mode);
    return {data, size};
  }

  void* library_;
  Handle environment_ = nullptr, compiled_ = nullptr;
  std::vector<Handle> inputs_, results_;
  std::vector<std::string> names_;
  int (*run_)(Handle, size_t, size_t, Handle*, size_t, Handle*) = nullptr;
};
