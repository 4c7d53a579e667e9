// Inferences by an Android native library that rebind.py bound to bionic.c:
//
//   run onnxruntime|tflite LIBRARY MODEL INPUT OUTPUT
//
// INPUT holds the bytes of the model's only input in its own type and layout, of as many pictures as there are; those of the
// first output go to OUTPUT. /dev/stdin and /dev/stdout will do: each output is written before the next input is read.
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

static FILE* opened(const char* path, const char* how) {
  FILE* file = fopen(path, how);
  if (!file) fail(path);
  return file;
}

// The next input; 0 where there is none.
static int take(FILE* input, void* values, size_t size) {
  const size_t found = fread(values, 1, size, input);
  if (found && found != size) fail("INPUT does not hold whole inputs");
  return found != 0;
}

static void give(FILE* output, const void* values, size_t size) {
  if (fwrite(values, 1, size, output) != size || fflush(output)) fail("OUTPUT cannot be written");
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

static void run_onnxruntime(void* library, const char* model, FILE* input, FILE* output) {
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
  size_t size = element == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? 4 : 1;
  for (size_t i = 0; i < rank; i++) size *= (size_t)shape[i];
  void* fed_values = malloc(size);
  OrtMemoryInfo* memory;
  OrtValue* value;
  check(api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  check(api->CreateTensorWithDataAsOrtValue(memory, fed_values, size, shape, rank, element, &value));
  const char *inputs[] = {fed}, *outputs[] = {given};
  const OrtValue* values[] = {value};
  while (take(input, fed_values, size)) {
    OrtValue* result = NULL;
    check(api->Run(session, NULL, inputs, values, 1, outputs, 1, &result));
    OrtTensorTypeAndShapeInfo* info;
    void* data;
    check(api->GetTensorTypeAndShape(result, &info));
    check(api->GetTensorShapeElementCount(info, &count));
    check(api->GetTensorElementType(info, &element));
    check(api->GetTensorMutableData(result, &data));
    give(output, data, count * (element == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT ? 4 : 1));
    api->ReleaseValue(result);
  }
}

// TFLite's C interface gives out handles only.
static void* call(void* library, const char* name, void* handle) { return ((void* (*)(void*))function(library, name))(handle); }

static void run_tflite(void* library, const char* model, FILE* input, FILE* output) {
  void* file = call(library, "TfLiteModelCreateFromFile", (void*)model);
  void* options = call(library, "TfLiteInterpreterOptionsCreate", NULL);
  ((void (*)(void*, int))function(library, "TfLiteInterpreterOptionsSetNumThreads"))(options, 1);
  void* interpreter = ((void* (*)(void*, void*))function(library, "TfLiteInterpreterCreate"))(file, options);
  if (!file || !interpreter) fail("the model cannot be opened");
  if (((int (*)(void*))function(library, "TfLiteInterpreterAllocateTensors"))(interpreter)) fail("no memory for tensors");
  void* fed = ((void* (*)(void*, int))function(library, "TfLiteInterpreterGetInputTensor"))(interpreter, 0);
  size_t (*size_of)(void*) = (size_t (*)(void*))function(library, "TfLiteTensorByteSize");
  const size_t size = size_of(fed);
  void* values = malloc(size);
  while (take(input, values, size)) {
    if (((int (*)(void*, const void*, size_t))function(library, "TfLiteTensorCopyFromBuffer"))(fed, values, size)) fail("input");
    if (((int (*)(void*))function(library, "TfLiteInterpreterInvoke"))(interpreter)) fail("the inference failed");
    void* given = ((void* (*)(void*, int))function(library, "TfLiteInterpreterGetOutputTensor"))(interpreter, 0);
    give(output, call(library, "TfLiteTensorData", given), size_of(given));
  }
}

int main(int count, char** arguments) {
  if (count != 6) fail("run onnxruntime|tflite LIBRARY MODEL INPUT OUTPUT");
  memset(guard, 0, sizeof guard);
  void* library = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL);
  if (!library) fail(dlerror());
  FILE *input = opened(arguments[4], "rb"), *output = opened(arguments[5], "wb");
  (strcmp(arguments[1], "tflite") ? run_onnxruntime : run_tflite)(library, arguments[3], input, output);
  fflush(stdout);
  _Exit(0);  // no destructors: those of a library whose C library is another one are not to be trusted
}
