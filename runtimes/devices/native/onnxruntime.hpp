// ONNX Runtime, through its C interface: a table of functions that its own header describes. A library serves the tables of all
// older versions, so that the header may be older than the library.
#pragma once

#include <onnxruntime_c_api.h>

#include <utility>

#include "session.hpp"

inline size_t bytes_of(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8: return 1;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16: return 2;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32: return 4;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64: return 8;
    default: fail("a tensor has ONNX element type " + std::to_string(type) + ", which has no size of its own");
  }
}

class OnnxRuntime : public Session {  // its objects live as long as the process does: none is released but old outputs
 public:
  OnnxRuntime(void* library, const std::string& model, Feeds feeds, int threads) : feeds_(std::move(feeds)) {
    const OrtApiBase* base = symbol<const OrtApiBase* (*)()>(library, "OrtGetApiBase")();
    api_ = base->GetApi(ORT_API_VERSION);
    if (!api_) fail(std::string("onnxruntime ") + base->GetVersionString() + " is older than the header of this program");
    name = "onnxruntime";
    version = base->GetVersionString();
    OrtEnv* environment;
    check(api_->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "onenet", &environment));
    check(api_->DisableTelemetryEvents(environment));
    OrtSessionOptions* options;
    check(api_->CreateSessionOptions(&options));
    check(api_->SetIntraOpNumThreads(options, threads));
    check(api_->SetInterOpNumThreads(options, 1));
    check(api_->CreateSession(environment, model.c_str(), options, &session_));
    check(api_->GetAllocatorWithDefaultOptions(&allocator_));
    describe();
  }

  void run() override {
    for (OrtValue*& each : results_) {
      if (each) api_->ReleaseValue(each);
      each = nullptr;
    }
    check(api_->Run(session_, nullptr, input_names_.data(), values_.data(), values_.size(), output_names_.data(),
                    results_.size(), results_.data()));
  }

  void write_output(size_t index, const std::string& path) override {
    OrtTensorTypeAndShapeInfo* info;
    check(api_->GetTensorTypeAndShape(results_[index], &info));
    ONNXTensorElementDataType type;
    check(api_->GetTensorElementType(info, &type));
    size_t count;
    check(api_->GetTensorShapeElementCount(info, &count));
    void* data;
    check(api_->GetTensorMutableData(results_[index], &data));
    write_file(path, data, count * bytes_of(type));
  }

 private:
  void describe() {
    size_t count;
    check(api_->SessionGetInputCount(session_, &count));
    for (size_t i = 0; i < count; i++) add_input(i);
    check(api_->SessionGetOutputCount(session_, &count));
    for (size_t i = 0; i < count; i++) {
      char* text;
      check(api_->SessionGetOutputName(session_, i, allocator_, &text));
      output_names_.push_back(text);
      outputs.emplace_back(text);
    }
    results_.resize(count);
  }

  void add_input(size_t index) {
    char* text;
    check(api_->SessionGetInputName(session_, index, allocator_, &text));
    OrtTypeInfo* info;
    check(api_->SessionGetInputTypeInfo(session_, index, &info));
    const OrtTensorTypeAndShapeInfo* tensor;
    check(api_->CastTypeInfoToTensorInfo(info, &tensor));
    if (!tensor) fail(std::string("input ") + text + " is no tensor");
    ONNXTensorElementDataType type;
    check(api_->GetTensorElementType(tensor, &type));
    size_t rank;
    check(api_->GetDimensionsCount(tensor, &rank));
    std::vector<int64_t> shape(rank);
    check(api_->GetDimensions(tensor, shape.data(), rank));
    size_t size = bytes_of(type);
    for (const int64_t side : shape) {
      if (side < 0) fail(std::string("input ") + text + " leaves an axis open");
      size *= static_cast<size_t>(side);
    }
    OrtMemoryInfo* memory;
    check(api_->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &memory));
    void* const data = const_cast<char*>(feed(feeds_, text, size).data());
    OrtValue* value = nullptr;
    check(api_->CreateTensorWithDataAsOrtValue(memory, data, size, shape.data(), rank, type, &value));
    input_names_.push_back(text);
    values_.push_back(value);
  }

  void check(OrtStatus* status) const {
    if (status) fail(std::string("onnxruntime: ") + api_->GetErrorMessage(status));
  }

  Feeds feeds_;
  const OrtApi* api_;
  OrtSession* session_ = nullptr;
  OrtAllocator* allocator_ = nullptr;
  std::vector<const char*> input_names_, output_names_;
  std::vector<const OrtValue*> values_;
  std::vector<OrtValue*> results_;
};
