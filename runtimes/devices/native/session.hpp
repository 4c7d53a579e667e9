// What every runtime gives the runner: an artifact loaded with its inputs, to run and to ask for its outputs.
#pragma once

#include <dlfcn.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

using Bytes = std::vector<char>;
using Feeds = std::map<std::string, Bytes>;

[[noreturn]] inline void fail(const std::string& what) { throw std::runtime_error(what); }

inline Bytes read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_file(const std::string& path, const void* data, size_t size) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
  file.close();
  if (!file) fail("cannot write " + path + ": " + std::strerror(errno));
}

inline const Bytes& feed(const Feeds& feeds, const std::string& name, size_t size) {
  const auto found = feeds.find(name);
  if (found == feeds.end()) fail("the model has an input " + name + ", and nothing was given for it");
  if (found->second.size() != size)
    fail("input " + name + " takes " + std::to_string(size) + " bytes, " + std::to_string(found->second.size()) + " were given");
  return found->second;
}

template <class Function>
Function symbol(void* library, const char* name) {
  void* const found = dlsym(library, name);
  if (!found) fail(std::string("the library has no function ") + name);
  return reinterpret_cast<Function>(found);
}

class Session {
 public:
  std::string name, version;
  std::vector<std::string> outputs;
  virtual ~Session() = default;
  virtual void run() = 0;
  virtual void write_output(size_t index, const std::string& path) = 0;
};
