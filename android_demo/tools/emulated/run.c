// One inference by an Android native library that rebind.py bound to bionic.c:
//
//   run onnxruntime|tflite LIBRARY MODEL INPUT OUTPUT
//
// INPUT holds the bytes of the model's only input in its own type and layout; those of the first output go to OUTPUT.
#include <dlfcn.h>
#include <onnxruntime_c_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Android compares a word behind the thread pointer before and after a function, to notice a smashed stack. With glibc on
// arm64 the program's own thread variables lie there, and this one never changes.
static __thread char guard[256];

static void fail(const char* what) {
  fprintf(stderr, "run: %s\n", what);
  exit(1);
}

static void* read_file(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  if (!file) fail(path);
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  void* data = malloc(*size);
  if (fread(data, 1, *size, file) != *size) fail(path);
  fclose(file);
  return data;
}

static void write_file(const char* path, const void* data, size_t size) {
  FILE* file = fopen(path, "wb");
  if (!file || fwrite(data, 1, size, file) != size || fclose(file)) fail(path);
}

static void* function(void* library, const char* name) {
  void* found = dlsym(library, name);
  if (!found) fail(dlerror());
  return found;
}

static const OrtApi* api;
static void check(OrtStatus* status) {
  if (status) fail(api->GetErrorMessage(status));
}

static void run_onnxruntime(void* library, const char* model, void* input, size_t size, const char* output) {
  const OrtApiBase* base = ((const OrtApiBase* (*)(void))function(library, "OrtGetApiBase"))();
  api = base->GetApi(ORT_API_VERSION);
  OrtEnv* environment;
  OrtSessionOptions* options;
  OrtSession* session;
  check(api->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "onenet", &environment));
  check(api->CreateSessionOptions(&options));
  check(api->SetIntraOpNumThreads(options, 1));
  check(api->CreateSession(environment, model, options, &session));
  OrtAllocator* allocator;
  char *fed, *given;
  OrtTypeInfo* type;
  const OrtTensorTypeAndShapeInfo* tensor;
  check(api->GetAllocatorWithDefaultOptions(&allocator));
  check(api->SessionGetInputName(session, 0, allocator, &fed));
  check(api->SessionGetOutputName(session, 0, allocator, &given));
  check(api->SessionGetInputTypeInfo(session, 0, &type));
  check(api->CastTypeInfoToTensorInfo(type, &tensor));
  ONNXTensorElementDataType element;
  size_t rank, count;
  int64_t shape[8];
  check(api->GetTensorElementType(tensor, &element));
  check(api->GetDimensionsCount(tensor, &rank));
  check(api->GetDimensions(tensor, shape, rank));
  OrtMemoryInfo* memory;
  OrtValue *value, *result = NULL;
  check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  check(api->CreateTensorWithDataAsOrtValue(memory, input, size, shape, rank, element, &value));
  const char *inputs[] = {fed}, *outputs[] = {given};
  const OrtValue* values[] = {value};
  check(api->Run(session, NULL, inputs, values, 1, outputs, 1, &result));
  OrtTensorTypeAndShapeInfo* info;
  void* data;
  check(api->GetTensorTypeAndShape(result, &info));
  check(api->GetTensorShapeElementCount(info, &count));
  check(api->GetTensorElementType(info, &element));
  check(api->GetTensorMutableData(result, &data));
  write_file(output, data, count * (element == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? 4 : 1));
}

// TFLite's C interface gives out handles only.
static void* call(void* library, const char* name, void* handle) { return ((void* (*)(void*))function(library, name))(handle); }

static void run_tflite(void* library, const char* model, void* input, size_t size, const char* output) {
  void* file = call(library, "TfLiteModelCreateFromFile", (void*)model);
  void* options = call(library, "TfLiteInterpreterOptionsCreate", NULL);
  ((void (*)(void*, int))function(library, "TfLiteInterpreterOptionsSetNumThreads"))(options, 1);
  void* interpreter = ((void* (*)(void*, void*))function(library, "TfLiteInterpreterCreate"))(file, options);
  if (!file || !interpreter) fail("the model cannot be opened");
  if (((int (*)(void*))function(library, "TfLiteInterpreterAllocateTensors"))(interpreter)) fail("no memory for tensors");
  void* fed = ((void* (*)(void*, int))function(library, "TfLiteInterpreterGetInputTensor"))(interpreter, 0);
  if (((int (*)(void*, const void*, size_t))function(library, "TfLiteTensorCopyFromBuffer"))(fed, input, size)) fail("input");
  if (((int (*)(void*))function(library, "TfLiteInterpreterInvoke"))(interpreter)) fail("the inference failed");
  void* given = ((void* (*)(void*, int))function(library, "TfLiteInterpreterGetOutputTensor"))(interpreter, 0);
  const size_t bytes = ((size_t (*)(void*))function(library, "TfLiteTensorByteSize"))(given);
  write_file(output, call(library, "TfLiteTensorData", given), bytes);
}

int main(int count, char** arguments) {
  if (count != 6) fail("run onnxruntime|tflite LIBRARY MODEL INPUT OUTPUT");
  memset(guard, 0, sizeof guard);
  void* library = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL);
  if (!library) fail(dlerror());
  size_t size;
  void* input = read_file(arguments[4], &size);
  (strcmp(arguments[1], "tflite") ? run_onnxruntime : run_tflite)(library, arguments[3], input, size, arguments[5]);
  fflush(stdout);
  _Exit(0);  // no destructors: those of a library whose C library is another one are not to be trusted
}
