// Does an app make of a picture what onenet makes of it? Written by `onenet export --tests`; README.md says how it is used.
// C++17, no library.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace onenet_cases {

// A tensor is its bytes, little-endian, in the file's own order of axes and type.
using Bytes = std::vector<std::uint8_t>;

// The three steps of your app.
struct App {
  // The model's input for a picture of RGB bytes, row by row.
  std::function<Bytes(const Bytes& pixels, int width, int height)> preprocess;
  // The model's outputs for an input, in the file's order.
  std::function<std::vector<Bytes>(const Bytes& input)> run;
  // The class of each pixel of the picture, row by row. Not called where the network has no classes for pixels.
  std::function<Bytes(const std::vector<Bytes>& outputs, int width, int height)> labels;
};

struct Tensor {
  std::string type;
  double asked;  // of an input: what a value may differ by; of an output: the SQNR in dB that is asked for
};

inline Bytes read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class T>
std::vector<double> as(const Bytes& bytes) {
  std::vector<double> values(bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); i++) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = static_cast<double>(value);
  }
  return values;
}

inline std::vector<double> values(const Bytes& bytes, const std::string& type) {
  if (type == "float32") return as<float>(bytes);
  if (type == "int32") return as<std::int32_t>(bytes);
  if (type == "int64") return as<std::int64_t>(bytes);
  return type == "uint8" ? as<std::uint8_t>(bytes) : as<std::int8_t>(bytes);
}

template <class T>
std::string counted(const std::vector<T>& right, const std::vector<T>& found, const char* what) {
  if (found.size() == right.size()) return "";
  return std::to_string(found.size()) + " " + what + ", " + std::to_string(right.size()) + " asked";
}

inline std::string farthest(const Bytes& right, const Bytes& found, const Tensor& tensor) {
  const auto expected = values(right, tensor.type), given = values(found, tensor.type);
  if (const auto missing = counted(expected, given, "values"); !missing.empty()) return missing;
  double most = tensor.asked;
  std::ostringstream text;
  for (std::size_t i = 0; i < expected.size(); i++) {
    const double difference = std::abs(given[i] - expected[i]);
    if (difference <= most) continue;
    most = difference;
    text.str("");
    text << "value " << i << " is " << given[i] << ", should be " << expected[i] << "; " << tensor.asked << " is allowed";
  }
  return text.str();
}

inline std::string unlike(const Bytes& right, const Bytes& found, const Tensor& tensor) {
  const auto expected = values(right, tensor.type), given = values(found, tensor.type);
  if (const auto missing = counted(expected, given, "values"); !missing.empty()) return missing;
  double mean = 0, signal = 0, noise = 0;
  for (const double value : expected) mean += value / static_cast<double>(expected.size());
  for (std::size_t i = 0; i < expected.size(); i++) {
    signal += (expected[i] - mean) * (expected[i] - mean);
    noise += (given[i] - expected[i]) * (given[i] - expected[i]);
  }
  const double decibels = 10 * std::log10(signal / noise);
  if (noise == 0 || decibels >= tensor.asked) return "";
  return std::to_string(std::lround(decibels)) + " dB, " + std::to_string(std::lround(tensor.asked)) + " dB asked";
}

inline std::string mislabelled(const Bytes& right, const Bytes& found, double share) {
  if (const auto missing = counted(right, found, "labels"); !missing.empty()) return missing;
  std::size_t equal = 0;
  for (std::size_t i = 0; i < right.size(); i++) equal += right[i] == found[i];
  if (static_cast<double>(equal) >= share * static_cast<double>(right.size())) return "";
  return std::to_string(equal) + " of " + std::to_string(right.size()) + " labels are right";
}

// What is wrong, a line each; empty where everything is right.
inline std::vector<std::string> check(const App& app, const std::string& folder) {
  std::vector<std::string> wrong;
  std::vector<Tensor> outputs;
  Tensor input{};
  double share = 0;
  int cases = 0;
  std::ifstream table(folder + "/cases.txt");
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::string what, name;
    words >> what;
    Tensor tensor{};
    if (what == "input" && words >> input.type >> input.asked) continue;
    if (what == "output" && words >> tensor.type >> tensor.asked) outputs.push_back(tensor);
    if (what == "labels") words >> share;
    int width = 0, height = 0;
    if (what != "case" || !(words >> name >> width >> height)) continue;
    cases++;
    const auto file = [&](const std::string& end) { return read(folder + "/" + name + end); };
    const auto note = [&](const std::string& step, const std::string& error) {
      if (!error.empty()) wrong.push_back(name + ": " + step + ": " + error);
    };
    const Bytes fed = file(".input.bin");
    note("preprocessing", farthest(fed, app.preprocess(file(".rgb.bin"), width, height), input));
    std::vector<Bytes> right;
    for (std::size_t i = 0; i < outputs.size(); i++) right.push_back(file(".output" + std::to_string(i) + ".bin"));
    const auto found = app.run(fed);
    note("inference", counted(right, found, "outputs"));
    for (std::size_t i = 0; found.size() == right.size() && i < right.size(); i++) {
      note("inference, output " + std::to_string(i), unlike(right[i], found[i], outputs[i]));
    }
    if (share > 0) note("postprocessing", mislabelled(file(".labels.bin"), app.labels(right, width, height), share));
  }
  if (cases == 0) wrong.push_back(folder + "/cases.txt names no case: nothing was compared");
  return wrong;
}

}  // namespace onenet_cases
