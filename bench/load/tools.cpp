// Options, time, latencies, /proc, ids and connections: see tools.h.
#include "tools.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <sstream>

namespace load {

void fail(const std::string& why) {
  std::fprintf(stderr, "load: %s\n", why.c_str());
  std::exit(1);
}

Options::Options(int count, char** words) {
  for (int at = 2; at + 1 < count; at += 2) {
    if (std::strncmp(words[at], "--", 2) != 0) fail(std::string("not an option: ") + words[at]);
    given_[words[at] + 2] = words[at + 1];
  }
}

std::string Options::text(const std::string& name, const std::string& otherwise) const {
  auto found = given_.find(name);
  return found == given_.end() ? otherwise : found->second;
}

double Options::number(const std::string& name, double otherwise) const {
  auto found = given_.find(name);
  return found == given_.end() ? otherwise : std::strtod(found->second.c_str(), nullptr);
}

std::vector<std::string> Options::words(const std::string& name, const std::string& otherwise) const {
  std::vector<std::string> parts;
  std::stringstream all(text(name, otherwise));
  for (std::string part; std::getline(all, part, ',');) parts.push_back(part);
  return parts;
}

std::vector<int> Options::numbers(const std::string& name) const {
  std::vector<int> parts;
  for (const auto& word : words(name, "")) parts.push_back(std::atoi(word.c_str()));
  return parts;
}

uint64_t now() {
  timespec moment{};
  clock_gettime(CLOCK_MONOTONIC, &moment);
  return static_cast<uint64_t>(moment.tv_sec) * 1000000000ULL + static_cast<uint64_t>(moment.tv_nsec);
}

void Histogram::add(uint64_t nanos) {
  size_t bucket = nanos;
  if (nanos >= 64) {
    const auto power = static_cast<size_t>(63 - __builtin_clzll(nanos));
    bucket = (power - 5) * 64 + ((nanos >> (power - 6)) & 63);
  }
  if (bucket >= buckets_.size()) bucket = buckets_.size() - 1;
  buckets_[bucket]++;
  count_++;
  if (nanos > max_) max_ = nanos;
}

double Histogram::percentile(double share) const {
  auto wanted = static_cast<uint64_t>(share * static_cast<double>(count_));
  for (size_t bucket = 0; bucket < buckets_.size(); bucket++) {
    if (buckets_[bucket] > wanted) {
      if (bucket < 64) return static_cast<double>(bucket) / 1e6;
      const size_t power = bucket / 64 + 5;
      return (static_cast<double>(64 + bucket % 64) + 0.5) * static_cast<double>(1ULL << (power - 6)) / 1e6;
    }
    wanted -= buckets_[bucket];
  }
  return static_cast<double>(max_) / 1e6;
}

std::string Histogram::json() const {
  return Json()
      .add("count", static_cast<double>(count_))
      .add("p50", percentile(0.50))
      .add("p95", percentile(0.95))
      .add("p99", percentile(0.99))
      .add("max", static_cast<double>(max_) / 1e6)
      .str();
}

double Processes::cpu_seconds() const {
  double ticks = 0;
  for (int id : ids_) {
    std::ifstream file("/proc/" + std::to_string(id) + "/stat");
    std::string line;
    if (!std::getline(file, line)) continue;
    std::stringstream rest(line.substr(line.rfind(')') + 2));
    std::string word;
    for (int field = 3; field <= 15 && rest >> word; field++)
      if (field >= 14) ticks += std::atof(word.c_str());
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

double Processes::resident_kb() const {
  double pages = 0;
  for (int id : ids_) {
    std::ifstream file("/proc/" + std::to_string(id) + "/statm");
    double size = 0, resident = 0;
    if (file >> size >> resident) pages += resident;
  }
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1024;
}

size_t Processes::open_files() const {
  size_t count = 0;
  for (int id : ids_) {
    DIR* folder = opendir(("/proc/" + std::to_string(id) + "/fd").c_str());
    if (folder == nullptr) continue;
    while (readdir(folder) != nullptr) count++;
    closedir(folder);
  }
  return count;
}

double own_cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& part) {
    return static_cast<double>(part.tv_sec) + static_cast<double>(part.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

std::vector<Person> read_people(const std::string& path, size_t limit) {
  std::vector<Person> people;
  std::ifstream file(path);
  if (!file) fail("cannot read " + path);
  Person person{};
  while (people.size() < limit && file >> person.token >> person.conversation >> person.role) people.push_back(person);
  if (people.empty()) fail("nobody in " + path);
  return people;
}

namespace {

void write_hex(char* at, uint64_t value, int digits) {
  for (int place = digits - 1; place >= 0; place--, value >>= 4) at[place] = "0123456789abcdef"[value & 15];
}

}  // namespace

void write_client_id(char* at, uint32_t number) {
  timespec moment{};
  clock_gettime(CLOCK_REALTIME_COARSE, &moment);
  const uint64_t millis = static_cast<uint64_t>(moment.tv_sec) * 1000 + static_cast<uint64_t>(moment.tv_nsec) / 1000000;
  static const auto process = static_cast<uint64_t>(getpid());
  std::memcpy(at, "00000000-0000-7000-8000-000000000000", kUuid);
  write_hex(at, millis >> 16, 8);
  write_hex(at + 9, millis & 0xffff, 4);
  write_hex(at + 15, process & 0xfff, 3);
  write_hex(at + 20, process >> 12 & 0xfff, 3);
  write_hex(at + 24, number, 12);
}

uint32_t number_of(const char* client_id) {
  uint32_t number = 0;
  for (const char* at = client_id + 28; at < client_id + kUuid; at++) {
    const auto digit = static_cast<uint32_t>(*at);
    number = (number << 4) + (digit & 15) + (digit >> 6) * 9;
  }
  return number;
}

void raise_file_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int connect_to(int port, size_t source, bool narrow) {
  const int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (socket_ < 0) fail(std::string("no socket: ") + std::strerror(errno));
  const int on = 1;
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (narrow) {
    const int small = 4096;
    setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  }
  sockaddr_in from{};
  from.sin_family = AF_INET;
  // Many addresses, as people have: one alone would run out of ports, and meet limits that are meant for one.
  from.sin_addr.s_addr = htonl(0x7f000002U + static_cast<uint32_t>(source % 64));
  setsockopt(socket_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
  if (bind(socket_, reinterpret_cast<sockaddr*>(&from), sizeof from) < 0)
    fail(std::string("bind: ") + std::strerror(errno));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(socket_, reinterpret_cast<sockaddr*>(&to), sizeof to) < 0 && errno != EINPROGRESS)
    fail(std::string("connect: ") + std::strerror(errno));
  return socket_;
}

bool is_held(int socket_) {
  sockaddr_in own{};
  socklen_t size = sizeof own;
  if (getsockname(socket_, reinterpret_cast<sockaddr*>(&own), &size) < 0) return false;
  char wanted[32];
  std::snprintf(wanted, sizeof wanted, "%08X:%04X", own.sin_addr.s_addr, ntohs(own.sin_port));
  std::ifstream table("/proc/net/tcp");
  std::string line;
  while (std::getline(table, line)) {
    std::stringstream words(line);
    std::string slot, local, remote, skipped, inode;
    words >> slot >> local >> remote;
    if (remote != wanted) continue;
    for (int field = 3; field < 9; field++) words >> skipped;
    words >> inode;
    return inode != "0";
  }
  return false;
}

Json& Json::raw(const std::string& name, const std::string& value) {
  body_ += (body_.empty() ? "\"" : ",\"") + name + "\":" + value;
  return *this;
}

Json& Json::add(const std::string& name, double value) {
  char shown[40];
  std::snprintf(shown, sizeof shown, "%.9g", value);
  return raw(name, shown);
}

Json& Json::text(const std::string& name, const std::string& value) {
  std::string quoted = "\"";
  for (char letter : value) {
    if (letter == '"' || letter == '\\') quoted += '\\';
    quoted += letter >= ' ' && letter < 127 ? letter : '.';
  }
  return raw(name, quoted + "\"");
}

}  // namespace load
