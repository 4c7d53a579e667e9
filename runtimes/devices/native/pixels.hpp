// Pictures to tensors and labels to pictures: what onenet's Python does, value by value. C++17, no library: to copy into an app.
// No constant of a model is in here; all that is known of it stands in its manifest.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace pixels {

using Bytes = std::vector<std::uint8_t>;

// An input or output, as the manifest describes it.
struct Tensor {
  bool nhwc = false;       // layout; otherwise NCHW
  bool is_float = true;    // dtype float32; otherwise int8
  bool is_labels = false;  // role labels: int32 (N, H, W), one class of each pixel
  int batch = 1, channels = 1, height = 1, width = 1;
  double scale = 0;  // of int8: value = (stored - zero_point) * scale
  int zero_point = 0;
};

constexpr int kBits = 22;  // of the weights: Pillow's resize, which calibration and evaluation use, computes in whole numbers

struct Place {  // of the result: the first place of the source that counts, and the weights from there on
  std::size_t first;
  std::vector<std::int32_t> weights;
};

inline std::vector<Place> places(int from, int to) {
  const double scale = static_cast<double>(from) / to, support = std::max(scale, 1.0);
  std::vector<Place> result;
  for (int at = 0; at < to; at++) {
    const double centre = (at + 0.5) * scale;
    const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
    const int end = std::min(static_cast<int>(centre + support + 0.5), from);
    std::vector<double> plain;
    double sum = 0;
    for (int i = first; i < end; i++) {
      plain.push_back(std::max(1 - std::abs(i - centre + 0.5) / support, 0.0));
      sum += plain.back();
    }
    Place place{static_cast<std::size_t>(first), {}};
    for (const double weight : plain) place.weights.push_back(static_cast<std::int32_t>(0.5 + weight / sum * (1 << kBits)));
    result.push_back(place);
  }
  return result;
}

// Rows of a picture of any number of channels to another length; seen as one row of wide pixels, columns as well.
inline Bytes stretched(const Bytes& source, std::size_t rows, std::size_t length, std::size_t channels, int to) {
  const auto found = places(static_cast<int>(length), to);
  Bytes result(rows * found.size() * channels);
  std::size_t at = 0;
  for (std::size_t row = 0; row < rows; row++) {
    for (const Place& place : found) {
      for (std::size_t c = 0; c < channels; c++) {
        std::int32_t sum = 1 << (kBits - 1);
        std::size_t from = (row * length + place.first) * channels + c;
        for (const std::int32_t weight : place.weights) {
          sum += source[from] * weight;
          from += channels;
        }
        result[at++] = static_cast<std::uint8_t>(sum >> kBits);
      }
    }
  }
  return result;
}

// RGB bytes, row by row, in another size: bilinear with antialiasing.
inline Bytes resized(const Bytes& rgb, int width, int height, int new_width, int new_height) {
  const Bytes wide = new_width == width ? rgb : stretched(rgb, height, width, 3, new_width);
  return new_height == height ? wide : stretched(wide, 1, height, 3 * static_cast<std::size_t>(new_width), new_height);
}

inline Bytes grey(const Bytes& rgb) {  // ITU-R 601, in whole numbers
  Bytes result(rgb.size());
  for (std::size_t i = 0; i < rgb.size(); i++) {
    const std::uint8_t* pixel = &rgb[i - i % 3];
    result[i] = static_cast<std::uint8_t>((19595 * pixel[0] + 38470 * pixel[1] + 7471 * pixel[2] + 32768) >> 16);
  }
  return result;
}

// The bytes of the model's input for a picture.
inline Bytes to_input(const Bytes& rgb, int width, int height, const Tensor& input) {
  const Bytes fitted = resized(input.channels == 1 ? grey(rgb) : rgb, width, height, input.width, input.height);
  const std::size_t size = static_cast<std::size_t>(input.width) * input.height, channels = input.channels;
  const std::size_t bytes = input.is_float ? 4 : 1;
  Bytes result(bytes * size * channels * input.batch);
  for (std::size_t at = 0; at < result.size() / bytes; at++) {
    const std::size_t inside = at % (size * channels);
    const std::size_t pixel = input.nhwc ? inside / channels : inside % size, c = input.nhwc ? inside % channels : inside / size;
    const float value = static_cast<float>(fitted[3 * pixel + c]) / 255;
    if (input.is_float) {
      std::memcpy(&result[4 * at], &value, 4);
      continue;
    }
    const double step = std::nearbyint(value / static_cast<float>(input.scale));  // halves to even
    result[at] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::clamp(step + input.zero_point, -128.0, 127.0)));
  }
  return result;
}

inline double value_of(const Bytes& values, std::size_t at, const Tensor& tensor) {
  if (tensor.is_labels) {
    std::int32_t label;
    std::memcpy(&label, &values[4 * at], 4);
    return label;
  }
  if (!tensor.is_float) return static_cast<std::int8_t>(values[at]);
  float value;
  std::memcpy(&value, &values[4 * at], 4);
  return value;
}

// The class of each pixel of the picture: the largest value of the output's first image, stretched back, the nearest one.
inline Bytes to_labels(const Bytes& values, const Tensor& output, int width, int height) {
  const std::size_t size = static_cast<std::size_t>(output.width) * output.height, classes = output.channels;
  Bytes small(size);
  for (std::size_t pixel = 0; pixel < size; pixel++) {
    if (output.is_labels) small[pixel] = static_cast<std::uint8_t>(value_of(values, pixel, output));
    double most = -std::numeric_limits<double>::infinity();
    for (std::size_t c = 0; !output.is_labels && c < classes; c++) {
      const double value = value_of(values, output.nhwc ? pixel * classes + c : c * size + pixel, output);
      if (value > most) small[pixel] = static_cast<std::uint8_t>(c);
      most = std::max(most, value);
    }
  }
  Bytes labels;
  const auto nearest = [](std::int64_t at, int from, int to) { return static_cast<std::size_t>((2 * at + 1) * from / (2 * to)); };
  for (int y = 0; y < height; y++) {
    const std::size_t row = nearest(y, output.height, height) * output.width;
    for (int x = 0; x < width; x++) labels.push_back(small[row + nearest(x, output.width, width)]);
  }
  return labels;
}

}  // namespace pixels
