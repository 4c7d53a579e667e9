// Proves pixels.hpp and the runner's runtimes on the golden cases that `onenet export --tests` writes.
//
//   cases RUNTIME LIBRARY MODEL CASES INPUT OUTPUT
//
// RUNTIME is onnxruntime or litert, LIBRARY its file; CASES is the folder of MODEL's cases. INPUT and OUTPUT are taken from the
// manifest, words in one argument each: layout, dtype, role, the four sides in the order N C H W, and of int8 scale and zero
// point: "NHWC float32 image 1 3 256 256". Prints what is wrong, a line each, and "3 cases are right" where nothing is.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include <onenet_cases.hpp>

#include "pixels.hpp"
#include "runtimes.hpp"

namespace {

using onenet_cases::Bytes;

pixels::Tensor tensor_of(const std::string& text) {
  std::istringstream words(text);
  std::string layout, type, role;
  pixels::Tensor tensor;
  words >> layout >> type >> role >> tensor.batch >> tensor.channels >> tensor.height >> tensor.width;
  if (!words) fail("\"" + text + "\" is no tensor: layout, dtype, role and four sides are needed");
  words >> tensor.scale >> tensor.zero_point;
  tensor.nhwc = layout == "NHWC";
  tensor.is_float = type == "float32";
  tensor.is_labels = role == "labels";
  return tensor;
}

// The names of the input and of the outputs, in the file's order; how many cases there are.
struct Table {
  std::string input;
  std::vector<std::string> outputs;
  int cases = 0;

  explicit Table(const std::string& file) {
    std::ifstream table(file);
    for (std::string line; std::getline(table, line);) {
      std::istringstream words(line);
      std::string what, type, asked, name;
      words >> what >> type >> asked >> std::ws;
      std::getline(words, name);
      if (what == "input") input = name;
      if (what == "output") outputs.push_back(name);
      cases += what == "case";
    }
  }
};

std::vector<Bytes> outputs_of(Session& session, const std::vector<std::string>& names) {
  const std::filesystem::path file = std::filesystem::temp_directory_path() / ("onenet-" + std::to_string(getpid()));
  std::vector<Bytes> found;
  for (const std::string& name : names) {
    for (std::size_t i = 0; i < session.outputs.size(); i++) {
      if (session.outputs[i] != name) continue;
      session.write_output(i, file);
      found.push_back(onenet_cases::read(file));
    }
  }
  std::filesystem::remove(file);
  return found;
}

int check(char** arguments) {
  const std::string runtime = arguments[1], model = arguments[3], folder = arguments[4];
  const pixels::Tensor input = tensor_of(arguments[5]), output = tensor_of(arguments[6]);
  const Table table(folder + "/cases.txt");
  void* const library = dlopen(arguments[2], RTLD_NOW | RTLD_LOCAL);
  if (!library) fail(dlerror());
  onenet_cases::App app;
  app.preprocess = [&](const Bytes& rgb, int width, int height) { return pixels::to_input(rgb, width, height, input); };
  app.run = [&](const Bytes& fed) {
    const auto session = open_session(runtime, library, model, {{table.input, {fed.begin(), fed.end()}}}, 1);
    session->run();
    return outputs_of(*session, table.outputs);
  };
  app.labels = [&](const std::vector<Bytes>& outputs, int width, int height) {
    return pixels::to_labels(outputs.at(0), output, width, height);
  };
  const auto wrong = onenet_cases::check(app, folder);
  for (const std::string& line : wrong) std::printf("%s\n", line.c_str());
  if (wrong.empty()) std::printf("%d cases are right\n", table.cases);
  return wrong.empty() ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  int code = 2;
  try {
    if (count != 7) fail("cases RUNTIME LIBRARY MODEL CASES INPUT OUTPUT");
    code = check(arguments);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cases: %s\n", error.what());
  }
  std::fflush(stdout);
  _exit(code);  // no destructors of runtimes: they have been seen to crash there
}
