// Requests over kept-alive connections, one at a time on each: at a fixed rate, or as fast as answers come.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <vector>

#include "tools.h"

namespace load {

namespace {

constexpr uint64_t kTimer = ~0ULL;
constexpr size_t kMaxAnswer = 8 << 20;

struct Line {
  int fd = -1;
  uint64_t due = 0;  // 0: nothing is asked
  std::string in;
};

class Desk {
 public:
  explicit Desk(const Options& options);
  std::string run();

 private:
  void turn(uint64_t until);
  void ask(size_t index, uint64_t due);
  void ask_due(uint64_t moment);
  void read(size_t index);
  bool take_answer(Line& line);

  const int port_;
  const std::string method_, path_, text_;
  const double rate_, warm_, seconds_;
  Processes server_;
  std::vector<Person> people_;
  std::vector<Line> lines_;
  std::deque<size_t> free_;
  std::deque<uint64_t> waiting_;
  std::vector<char> buffer_ = std::vector<char>(256 << 10);
  int poll_ = epoll_create1(EPOLL_CLOEXEC);
  int timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  bool asks_ = false;
  uint64_t next_due_ = 0, from_ = 0, to_ = 0;
  uint32_t number_ = 0;
  uint64_t answered_ = 0, errors_ = 0;
  std::string first_error_;
  Histogram times_;
};

Desk::Desk(const Options& options)
    : port_(static_cast<int>(options.number("ports", 0))),
      method_(options.text("method", "GET")),
      path_(options.text("request")),
      text_(static_cast<size_t>(options.number("text", 120)), 'x'),
      rate_(options.number("rate", 0)),
      warm_(options.number("warm", 1)),
      seconds_(options.number("seconds", 3)),
      server_(options.numbers("pids")),
      people_(read_people(options.text("people"), static_cast<size_t>(options.number("limit", 64)))),
      lines_(people_.size()) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kTimer;
  epoll_ctl(poll_, EPOLL_CTL_ADD, timer_, &event);
  for (size_t index = 0; index < lines_.size(); index++) {
    lines_[index].fd = connect_to(port_, index, false);
    event.data.u64 = index;
    epoll_ctl(poll_, EPOLL_CTL_ADD, lines_[index].fd, &event);
    free_.push_back(index);
  }
  usleep(100000);
}

void Desk::ask(size_t index, uint64_t due) {
  const Person& person = people_[index];
  std::string path = path_, body;
  if (const size_t at = path.find("{conversation}"); at != std::string::npos) path.replace(at, 14, person.conversation);
  std::string request = method_ + " " + path + " HTTP/1.1\r\nHost: 127.0.0.1\r\n";
  request += "Authorization: Bearer " + person.token + "\r\n";
  if (method_ == "POST") {
    char id[kUuid];
    write_client_id(id, number_++);
    body = "{\"client_id\":\"" + std::string(id, kUuid) + "\",\"text\":\"" + text_ + "\"}";
    request += "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  }
  request += "\r\n" + body;
  lines_[index].due = due;
  if (send(lines_[index].fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
    fail(std::string("a request was not taken: ") + std::strerror(errno));
}

void Desk::ask_due(uint64_t moment) {
  const auto pause = static_cast<uint64_t>(kNanos / rate_);
  for (; next_due_ <= moment; next_due_ += pause) waiting_.push_back(next_due_);
  while (!waiting_.empty() && !free_.empty()) {
    ask(free_.front(), waiting_.front());
    free_.pop_front();
    waiting_.pop_front();
  }
}

bool Desk::take_answer(Line& line) {
  const size_t head = line.in.find("\r\n\r\n");
  if (head == std::string::npos) return false;
  size_t length = 0;
  for (const char* name : {"\r\nContent-Length: ", "\r\ncontent-length: "})
    if (const size_t at = line.in.find(name); at < head) length = std::strtoul(line.in.c_str() + at + 18, nullptr, 10);
  if (line.in.size() < head + 4 + length) return false;
  const uint64_t moment = now();
  if (line.in.compare(9, 1, "2") != 0) {
    errors_++;
    const std::string body = line.in.substr(head + 4, std::min<size_t>(length, 250));
    if (first_error_.empty()) first_error_ = line.in.substr(0, 12) + " " + body;
  } else {
    if (moment >= from_ && moment < to_) answered_++;
    if (line.due >= from_ && line.due < to_) times_.add(moment - line.due);
  }
  line.in.erase(0, head + 4 + length);
  line.due = 0;
  return true;
}

void Desk::read(size_t index) {
  Line& line = lines_[index];
  const ssize_t count = recv(line.fd, buffer_.data(), buffer_.size(), 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) fail("the server closed a connection; the first error: " + first_error_);
  line.in.append(buffer_.data(), static_cast<size_t>(count));
  if (line.in.size() > kMaxAnswer) fail("an answer without end");
  if (line.due == 0 || !take_answer(line)) return;
  if (asks_ && rate_ <= 0) return ask(index, now());
  free_.push_back(index);
  if (asks_ && rate_ > 0) ask_due(now());
}

void Desk::turn(uint64_t until) {
  std::array<epoll_event, 256> events{};
  for (uint64_t moment = now(); moment < until; moment = now()) {
    if (asks_ && rate_ > 0) ask_due(moment);
    const uint64_t wake = asks_ && rate_ > 0 ? std::min(next_due_, until) : until;
    itimerspec when{};
    when.it_value.tv_sec = static_cast<time_t>(wake / 1000000000ULL);
    when.it_value.tv_nsec = static_cast<long>(wake % 1000000000ULL);
    timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
    const int count = epoll_wait(poll_, events.data(), events.size(), -1);
    for (int at = 0; at < count; at++) {
      const uint64_t index = events[static_cast<size_t>(at)].data.u64;
      uint64_t fired = 0;
      if (index != kTimer) {
        read(index);
      } else if (::read(timer_, &fired, sizeof fired) < 0 && errno != EAGAIN) {
        fail("timer");
      }
    }
    if (!asks_ && free_.size() == lines_.size()) return;
  }
}

std::string Desk::run() {
  const uint64_t start = now();
  from_ = start + static_cast<uint64_t>(warm_ * kNanos);
  to_ = from_ + static_cast<uint64_t>(seconds_ * kNanos);
  asks_ = true;
  next_due_ = start;
  if (rate_ <= 0) {
    for (size_t index : free_) ask(index, start);
    free_.clear();
  }
  turn(from_);
  const double server_before = server_.cpu_seconds(), own_before = own_cpu_seconds();
  const uint64_t began = now();
  turn(to_);
  const uint64_t ended = now();
  Json result;
  result.add("run_seconds", static_cast<double>(ended - began) / kNanos)
      .add("run_cpu", server_.cpu_seconds() - server_before)
      .add("load_cpu", own_cpu_seconds() - own_before);
  asks_ = false;
  turn(now() + static_cast<uint64_t>(5 * kNanos));
  result.add("requests", static_cast<double>(answered_))
      .add("waiting", static_cast<double>(waiting_.size()))
      .raw("answer_ms", times_.json())
      .add("errors", static_cast<double>(errors_))
      .text("first_error", first_error_);
  for (Line& line : lines_) close(line.fd);
  return result.str();
}

}  // namespace

int run_http(const Options& options) {
  std::printf("%s\n", Desk(options).run().c_str());
  return 0;
}

}  // namespace load
