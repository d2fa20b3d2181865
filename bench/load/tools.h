// What every part of the load tool uses: options, time, latencies, and what a server process costs.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace load {

constexpr double kNanos = 1e9;

[[noreturn]] void fail(const std::string& why);

// `--name value` pairs from the command line.
class Options {
 public:
  Options(int count, char** words);
  std::string text(const std::string& name, const std::string& otherwise = "") const;
  double number(const std::string& name, double otherwise) const;
  std::vector<int> numbers(const std::string& name) const;
  std::vector<std::string> words(const std::string& name, const std::string& otherwise) const;

 private:
  std::map<std::string, std::string> given_;
};

// Nanoseconds of the monotonic clock.
uint64_t now();

// Latencies in nanoseconds, kept to better than 2 %: 64 buckets for each power of two.
class Histogram {
 public:
  void add(uint64_t nanos);
  std::string json() const;  // count, p50, p95, p99 and max in milliseconds

 private:
  double percentile(double share) const;
  std::vector<uint64_t> buckets_ = std::vector<uint64_t>(64 * 60, 0);
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

// The server's processes as /proc shows them: CPU of all threads, resident memory, open files.
class Processes {
 public:
  explicit Processes(std::vector<int> ids) : ids_(std::move(ids)) {}
  double cpu_seconds() const;
  double resident_kb() const;
  size_t open_files() const;

 private:
  std::vector<int> ids_;
};

double own_cpu_seconds();

// One line of the file of people: who signs in, which room they are in, what they do there.
struct Person {
  std::string token;
  std::string conversation;
  char role;  // s: sends and reads, r: reads, x: stops reading once signed in
};

std::vector<Person> read_people(const std::string& path, size_t limit);

// An id that no message had before: the time, the process, and in the last 12 digits the message's number.
void write_client_id(char* at, uint32_t number);
constexpr size_t kUuid = 36;

// A message's number out of the last 12 digits of its client_id.
uint32_t number_of(const char* client_id);

void raise_file_limit();
int connect_to(int port, size_t source, bool narrow);  // non-blocking; `source` picks one of 64 local addresses

// Whether the other end of a loopback connection is still in somebody's hands; what it sent may be under way for long.
bool is_held(int socket_);

// A JSON object, written field by field.
class Json {
 public:
  Json& raw(const std::string& name, const std::string& value);
  Json& add(const std::string& name, double value);
  Json& text(const std::string& name, const std::string& value);
  std::string str() const { return "{" + body_ + "}"; }

 private:
  std::string body_;
};

int run_sockets(const Options& options);
int run_http(const Options& options);

}  // namespace load
