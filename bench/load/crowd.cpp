// The crowd's life: everybody signs in, holds still, talks, and leaves; each part with what it cost the server.
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <map>

#include "sockets.h"

namespace load {

namespace {

constexpr uint64_t kTimer = ~0ULL;
constexpr double kSignInSeconds = 120;
constexpr double kLeaveSeconds = 30;
constexpr useconds_t kRest = 200000;
constexpr double kLookSeconds = 0.2;

uint64_t after(double seconds) { return now() + static_cast<uint64_t>(seconds * kNanos); }

}  // namespace

Crowd::Crowd(const Options& options)
    : ports_(options.numbers("ports")),
      namespaces_(options.words("namespaces", "/,/chat")),
      path_(options.text("path", "/socket.io/")),
      text_(static_cast<size_t>(options.number("text", 120)), 'x'),
      rate_(options.number("rate", 0)),
      window_(static_cast<size_t>(options.number("window", 4))),
      parallel_(static_cast<size_t>(options.number("parallel", 64))),
      warm_(options.number("warm", 1)),
      seconds_(options.number("seconds", 0)),
      drain_(options.number("drain", 10)),
      hold_(options.number("hold", 0)),
      instance_orders_(options.text("orders", "topic") == "instance"),
      baseline_(static_cast<size_t>(options.number("baseline", 0))),
      server_(options.numbers("pids")),
      people_(read_people(options.text("people"), static_cast<size_t>(options.number("limit", 1e9)))),
      clients_(people_.size()),
      buffer_(1 << 20) {
  if (ports_.empty()) fail("--ports is missing");
  const std::string place = namespaces_.back() == "/" ? "" : namespaces_.back() + ",";
  event_prefix_ = "42" + place + "[\"message.created\",";
  ack_prefix_ = "43" + place;
  command_prefix_ = "42" + place;
  middle_ = "\",\"client_id\":\"";
  end_ = "\",\"text\":\"" + text_ + "\"}]";
  std::map<std::string, uint32_t> known;
  for (uint32_t index = 0; index < people_.size(); index++) {
    const auto [found, is_new] = known.emplace(people_[index].conversation, rooms_.size());
    if (is_new) rooms_.push_back({people_[index].conversation, 0});
    Client& client = clients_[index];
    client.room = found->second;
    client.instance = static_cast<uint16_t>(index % ports_.size());
    client.orders.resize(instance_orders_ ? ports_.size() : 1);
    if (people_[index].role == 'x') {
      stalled_++;
    } else {
      rooms_[client.room].readers++;
    }
    if (people_[index].role == 's') senders_.push_back(index);
  }
  poll_ = epoll_create1(EPOLL_CLOEXEC);
  timer_ = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = kTimer;
  if (epoll_ctl(poll_, EPOLL_CTL_ADD, timer_, &event) < 0) fail("epoll_ctl");
}

Crowd::~Crowd() {
  close(timer_);
  close(poll_);
}

void Crowd::arm(uint64_t at) {
  if (armed_ == at) return;
  armed_ = at;
  itimerspec when{};
  when.it_value.tv_sec = static_cast<time_t>(at / 1000000000ULL);
  when.it_value.tv_nsec = static_cast<long>(at % 1000000000ULL);
  timerfd_settime(timer_, TFD_TIMER_ABSTIME, &when, nullptr);
}

template <typename Done>
void Crowd::turn(uint64_t until, Done done) {
  std::array<epoll_event, 512> events{};
  for (uint64_t moment = now(); moment < until && !done(); moment = now()) {
    if (opens_) send_due(moment);
    arm(opens_ ? std::min(next_due_, until) : until);
    const int count = epoll_wait(poll_, events.data(), events.size(), -1);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    for (int at = 0; at < count; at++) {
      const epoll_event& event = events[static_cast<size_t>(at)];
      if (event.data.u64 == kTimer) {
        uint64_t fired = 0;
        if (::read(timer_, &fired, sizeof fired) > 0) armed_ = 0;
        continue;
      }
      Client& client = clients_[event.data.u64];
      if ((event.events & EPOLLOUT) != 0) flush(client);
      if ((event.events & EPOLLIN) != 0) {
        read(client);
      } else if ((event.events & (EPOLLHUP | EPOLLERR)) != 0) {
        drop(client);
      }
    }
  }
}

void Crowd::send_due(uint64_t moment) {
  const auto pause = static_cast<uint64_t>(kNanos / rate_);
  while (next_due_ <= moment) {
    const uint32_t sender = senders_[turn_++ % senders_.size()];
    send_message(sender, next_due_);
    flush(clients_[sender]);
    next_due_ += pause;
  }
}

void Crowd::sign_in(size_t wanted) {
  const uint64_t until = after(kSignInSeconds);
  turn(until, [&] {
    for (; !again_.empty() && under_way_ < parallel_; again_.pop_back()) start_one(again_.back());
    while (started_ < wanted && under_way_ < parallel_) start_one(started_++);
    return ready_ + closed_ >= wanted;
  });
  if (ready_ >= wanted) return;
  fail("signed in " + std::to_string(ready_) + " of " + std::to_string(wanted) + ": " + first_error_);
}

void Crowd::hold(double seconds) {
  turn(after(seconds), [] { return false; });
}

// Whoever does not read does not hear either that they are cut off: the other end of the connection tells.
void Crowd::watch_stalled(uint64_t until) {
  while (stalled_ > 0 && stalled_closed_ == 0 && now() < until) {
    turn(std::min(until, after(kLookSeconds)), [] { return false; });
    for (uint32_t index = 0; index < clients_.size(); index++)
      if (people_[index].role == 'x' && !is_held(clients_[index].fd)) stalled_closed_++;
    if (stalled_closed_ > 0) stalled_closed_after_ = static_cast<double>(now() - talking_since_) / kNanos;
  }
  turn(until, [] { return false; });
}

void Crowd::talk() {
  const uint64_t start = talking_since_ = now();
  from_ = start + static_cast<uint64_t>(warm_ * kNanos);
  to_ = from_ + static_cast<uint64_t>(seconds_ * kNanos);
  if (rate_ > 0) {
    opens_ = true;
    next_due_ = start;
  } else {
    repeats_ = true;
    for (size_t round = 0; round < window_; round++)
      for (uint32_t sender : senders_) send_message(sender, start);
    for (uint32_t sender : senders_) flush(clients_[sender]);
  }
  watch_stalled(from_);
  const double server_before = server_.cpu_seconds(), own_before = own_cpu_seconds();
  const uint64_t began = now();
  watch_stalled(to_);
  const uint64_t ended = now();
  result_.add("run_seconds", static_cast<double>(ended - began) / kNanos)
      .add("run_cpu", server_.cpu_seconds() - server_before)
      .add("load_cpu", own_cpu_seconds() - own_before);
  opens_ = repeats_ = false;
  turn(after(drain_), [&] { return answered_ >= sent_.size() && received_ >= expected_ + duplicates_; });
  const uint64_t distinct = received_ - duplicates_;
  result_.add("sent", static_cast<double>(sent_.size()))
      .add("acked", static_cast<double>(acked_))
      .add("acked_measured", static_cast<double>(acked_measured_))
      .add("deliveries", static_cast<double>(received_measured_))
      .add("expected", static_cast<double>(expected_))
      .add("lost", expected_ > distinct ? static_cast<double>(expected_ - distinct) : 0)
      .add("duplicates", static_cast<double>(duplicates_))
      .add("reordered", static_cast<double>(reordered_))
      .raw("ack_ms", ack_times_.json())
      .raw("delivery_ms", delivery_times_.json());
}

void Crowd::leave() {
  const double before = server_.cpu_seconds();
  const size_t files = server_.open_files();
  const uint64_t began = now();
  size_t count = 0;
  for (Client& client : clients_)
    if (client.stage == Stage::Ready) {
      client.stage = Stage::Closed;
      close(client.fd);
      count++;
    }
  // Gone when the files are closed and the server has come to rest. The next contender has the same core.
  const uint64_t until = after(kLeaveSeconds);
  while (now() < until && server_.open_files() + count > files) usleep(20000);
  const uint64_t gone = now();
  double spent = server_.cpu_seconds();
  usleep(kRest);
  for (; now() < until && server_.cpu_seconds() - spent > 0.02; usleep(kRest)) spent = server_.cpu_seconds();
  result_.add("left", static_cast<double>(count))
      .add("leave_seconds", static_cast<double>(gone - began) / kNanos)
      .add("leave_cpu", server_.cpu_seconds() - before);
}

std::string Crowd::run() {
  const size_t first = std::min(baseline_, people_.size());
  if (first > 0) {
    sign_in(first);
    hold(1);
  }
  const double cpu_before = server_.cpu_seconds(), memory_before = server_.resident_kb();
  const uint64_t began = now();
  sign_in(people_.size());
  result_.add("connects", static_cast<double>(people_.size() - first))
      .add("connect_seconds", static_cast<double>(now() - began) / kNanos)
      .add("connect_cpu", server_.cpu_seconds() - cpu_before)
      .raw("connect_ms", sign_in_times_.json());
  hold(0.5);
  result_.add("connect_kb", server_.resident_kb() - memory_before);
  if (hold_ > 0) {
    std::fprintf(stderr, "load: holding\n");
    const double cpu = server_.cpu_seconds();
    const uint64_t start = now();
    hold(hold_);
    result_.add("hold_cpu", server_.cpu_seconds() - cpu).add("hold_seconds", static_cast<double>(now() - start) / kNanos);
    result_.add("hold_kb", server_.resident_kb() - memory_before);
  }
  const double memory_idle = server_.resident_kb();
  if (seconds_ > 0) talk();
  result_.add("growth_kb", server_.resident_kb() - memory_idle)
      .add("closed", static_cast<double>(closed_))
      .add("stalled_closed", static_cast<double>(stalled_closed_))
      .add("stalled_closed_after", stalled_closed_after_)
      .add("errors", static_cast<double>(errors_))
      .text("first_error", first_error_);
  leave();
  return result_.str();
}

int run_sockets(const Options& options) {
  std::printf("%s\n", Crowd(options).run().c_str());
  return 0;
}

}  // namespace load
