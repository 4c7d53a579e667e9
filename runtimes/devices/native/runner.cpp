// Measures one artifact where there is no Python: one round (load, first inference, warm-up, samples) in one process.
//
//   runner runtime=onnxruntime|litert library=FILE model=FILE inputs=DIR outputs=DIR threads=N runs=N seconds=S
//          warmup_runs=N warmup_seconds=S deadline=S [sustained_minutes=M] [cores=0,1]
//
// DIR/names has one input name per line; the bytes of the first lie in DIR/0, of the second in DIR/1. Outputs are written
// likewise, 0, 1, ... in the model's own order, after everything has been measured. One line of JSON goes to stdout, what went
// wrong to stderr in a line that begins with "runner: ". Rules of warming up and sampling: onenet/runtimes/latency.py.
//
// It ends by itself at its deadline, and when its stdin ends: a connection that broke leaves nothing running.

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <thread>

#include "runtimes.hpp"

namespace {

constexpr size_t kMostSamples = 10'000;

double seconds_now() {  // steady: setting the clock changes no sample
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// --- measuring -----------------------------------------------------------------------------------------------------------

double milliseconds(Session& session) {
  const double start = seconds_now();
  session.run();
  return 1e3 * (seconds_now() - start);
}

// At least `runs` and at least `seconds`, but no more than kMostSamples for the sake of `seconds`.
std::vector<double> sample(Session& session, size_t runs, double seconds) {
  std::vector<double> samples;
  const double start = seconds_now();
  while (samples.size() < runs || (seconds_now() - start < seconds && samples.size() < kMostSamples))
    samples.push_back(milliseconds(session));
  return samples;
}

double percentile(const std::vector<double>& sorted, double percent) {  // linear between neighbours
  const double place = percent / 100 * static_cast<double>(sorted.size() - 1);
  const size_t below = static_cast<size_t>(place), above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - std::floor(place)) * (sorted[above] - sorted[below]);
}

std::string number(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.6f", value);
  return text;
}

// Runs without pause; percentiles of every minute, and how much slower the last is than the first.
std::string sustain(Session& session, double minutes) {
  std::string rows;
  double first = 0, last = 0;
  const double end = seconds_now() + 60 * minutes;
  for (int minute = 1; seconds_now() < end; minute++) {
    std::vector<double> samples;
    const double begin = seconds_now();
    do samples.push_back(milliseconds(session));
    while (seconds_now() < std::min(begin + 60, end));
    std::sort(samples.begin(), samples.end());
    last = percentile(samples, 50);
    if (minute == 1) first = last;
    rows += (minute == 1 ? "" : ",") + ("{\"minute\":" + std::to_string(minute)) + ",\"n\":" + std::to_string(samples.size()) +
            ",\"p50_ms\":" + number(last) + ",\"p90_ms\":" + number(percentile(samples, 90)) +
            ",\"p99_ms\":" + number(percentile(samples, 99)) + "}";
  }
  return "{\"minutes\":[" + rows + "],\"drop_percent\":" + number(first ? 100 * (last / first - 1) : 0) + "}";
}

// What the kernel calls VmHWM: the most memory that this process has held. 0 where it does not say.
size_t peak_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind("VmHWM:", 0) == 0) return 1024 * std::strtoull(line.c_str() + 6, nullptr, 10);
  return 0;
}

std::string json_text(const std::string& text) {
  std::string result = "\"";
  for (const char each : text) {
    if (each == '"' || each == '\\') result += '\\';
    if (static_cast<unsigned char>(each) >= 0x20) result += each;
  }
  return result + "\"";
}

// --- the program ---------------------------------------------------------------------------------------------------------

using Settings = std::map<std::string, std::string>;

std::string text_of(const Settings& settings, const std::string& key) {
  const auto found = settings.find(key);
  if (found == settings.end()) fail("no " + key + "=... was given");
  return found->second;
}

double number_of(const Settings& settings, const std::string& key) {
  const std::string text = text_of(settings, key);
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end || !(value >= 0) || value > 1e9) fail(key + "=" + text + " is no number that it can be");
  return value;
}

void bind_to(const std::string& cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::istringstream list(cores);
  for (std::string core; std::getline(list, core, ',');) CPU_SET(std::strtoul(core.c_str(), nullptr, 10), &set);
  if (sched_setaffinity(0, sizeof set, &set)) fail("cores " + cores + " cannot be used: " + std::strerror(errno));
}

void end_with_stdin() {
  std::thread([] {
    char block[256];
    while (read(STDIN_FILENO, block, sizeof block) > 0) continue;
    _exit(3);
  }).detach();
}

Feeds read_inputs(const std::string& folder) {
  Feeds feeds;
  std::ifstream names(folder + "/names");
  size_t index = 0;
  for (std::string name; std::getline(names, name);) feeds[name] = read_file(folder + "/" + std::to_string(index++));
  return feeds;
}

std::string measure(const Settings& settings) {
  const std::string runtime = text_of(settings, "runtime"), model = text_of(settings, "model");
  const int threads = static_cast<int>(number_of(settings, "threads"));
  const Feeds feeds = read_inputs(text_of(settings, "inputs"));
  void* const library = dlopen(text_of(settings, "library").c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) fail(dlerror());
  const size_t baseline = peak_bytes();
  const double start = seconds_now();
  const std::unique_ptr<Session> session = open_session(runtime, library, model, feeds, threads);
  const double load = 1e3 * (seconds_now() - start), first = milliseconds(*session);
  const auto warm = sample(*session, number_of(settings, "warmup_runs"), number_of(settings, "warmup_seconds"));
  const auto samples = sample(*session, number_of(settings, "runs"), number_of(settings, "seconds"));
  const double minutes = settings.count("sustained_minutes") ? number_of(settings, "sustained_minutes") : 0;
  const std::string sustained = minutes > 0 ? sustain(*session, minutes) : "null";
  const size_t peak = peak_bytes();

  std::string list, names;
  for (const double each : samples) list += (list.empty() ? "" : ",") + number(each);
  for (size_t i = 0; i < session->outputs.size(); i++) {
    session->write_output(i, text_of(settings, "outputs") + "/" + std::to_string(i));
    names += (i ? "," : "") + json_text(session->outputs[i]);
  }
  return "{\"runtime\":{\"name\":" + json_text(session->name) + ",\"version\":" + json_text(session->version) +
         "},\"load_ms\":" + number(load) + ",\"first_ms\":" + number(first) + ",\"warmup_runs\":" + std::to_string(warm.size()) +
         ",\"samples_ms\":[" + list + "],\"peak_bytes\":" + std::to_string(peak) + ",\"baseline_bytes\":" +
         std::to_string(baseline) + ",\"outputs\":[" + names + "],\"sustained\":" + sustained + "}\n";
}

}  // namespace

int main(int count, char** arguments) {
  const int answer = dup(STDOUT_FILENO);  // what a runtime prints goes to stderr
  dup2(STDERR_FILENO, STDOUT_FILENO);
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);  // from 1.30 it reports its use unless told not to before it is loaded
  try {
    Settings settings;
    for (int i = 1; i < count; i++) {
      const std::string each = arguments[i];
      const size_t equals = each.find('=');
      if (equals == std::string::npos) fail(each + " is not KEY=VALUE");
      settings[each.substr(0, equals)] = each.substr(equals + 1);
    }
    alarm(1 + static_cast<unsigned>(number_of(settings, "deadline")));  // nobody handles it: it ends the process
    end_with_stdin();
    if (settings.count("cores")) bind_to(settings.at("cores"));
    const std::string text = measure(settings);
    for (size_t at = 0; at < text.size();) {
      const ssize_t written = write(answer, text.data() + at, text.size() - at);
      if (written < 0) fail(std::string("cannot answer: ") + std::strerror(errno));
      at += static_cast<size_t>(written);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "runner: %s\n", error.what());
    std::fflush(stderr);
    _exit(1);
  }
  _exit(0);  // no destructors of runtimes: they have been seen to crash there
}
