// Many Socket.IO clients in one thread: they sign in, send commands, and account for every delivery.
#pragma once

#include <string>
#include <vector>

#include "tools.h"

namespace load {

// What one receiver has seen of one order: the highest seq and which of the 64 up to it.
struct Order {
  int64_t highest = -1;
  uint64_t seen = 0;
};

enum class Stage : uint8_t { Upgrading, Opening, Joining, Ready, Closed };

struct Client {
  int fd = -1;
  Stage stage = Stage::Upgrading;
  bool waits_to_write = false;
  uint16_t joined = 0;
  uint16_t instance = 0;
  uint16_t attempts = 0;
  uint32_t room = 0;
  uint64_t started = 0;
  std::string in;
  std::string out;
  std::vector<Order> orders;
};

struct Room {
  std::string conversation;
  uint32_t readers = 0;
};

struct Sent {
  uint64_t at;
  uint32_t sender;
};

class Crowd {
 public:
  explicit Crowd(const Options& options);
  ~Crowd();
  std::string run();

 private:
  // Life of the crowd, in this order.
  void sign_in(size_t until);
  void hold(double seconds);
  void talk();
  void watch_stalled(uint64_t until);
  void leave();

  // The event loop: until a moment, or until `done` says so.
  template <typename Done>
  void turn(uint64_t until, Done done);
  void arm(uint64_t at);
  void read(Client& client);
  void take_upgrade(Client& client);
  size_t take_frames(Client& client, const char* at, size_t length, uint64_t moment);
  void take_text(Client& client, const char* text, size_t length, uint64_t moment);
  void take_event(Client& client, const char* text, size_t length, uint64_t moment);
  void take_ack(Client& client, const char* text, size_t length, uint64_t moment);
  void note_order(Order& order, int64_t seq);
  void joined(Client& client, uint64_t moment);
  void refuse(const std::string& why);
  void refuse_connect(Client& client, const std::string& why);
  void drop(Client& client);

  void start_one(size_t index);
  void send_text(Client& client, const std::string& text);
  void flush(Client& client);
  void watch(Client& client, bool writes);
  void send_message(uint32_t sender, uint64_t due);
  void send_due(uint64_t moment);
  uint32_t index_of(const Client& client) const { return static_cast<uint32_t>(&client - clients_.data()); }

  const std::vector<int> ports_;
  const std::vector<std::string> namespaces_;
  const std::string path_;
  const std::string text_;
  const double rate_;
  const size_t window_;
  const size_t parallel_;
  const double warm_, seconds_, drain_;
  const double hold_;
  const bool instance_orders_;
  const size_t baseline_;
  Processes server_;
  std::vector<Person> people_;
  std::vector<Client> clients_;
  std::vector<Room> rooms_;
  std::vector<uint32_t> senders_;
  std::vector<uint32_t> again_;  // refused, to be started once more
  std::vector<Sent> sent_;
  std::vector<char> buffer_;
  std::string event_prefix_, ack_prefix_, command_prefix_, middle_, end_;
  size_t seq_hint_ = 0, id_hint_ = 0;
  int poll_ = -1, timer_ = -1;
  uint64_t armed_ = 0;

  bool opens_ = false;  // the open loop sends at its own pace
  bool repeats_ = false;  // each ack lets its sender send again
  uint64_t next_due_ = 0;
  uint64_t from_ = 0, to_ = 0;  // what is sent between these moments is measured
  size_t started_ = 0, ready_ = 0, under_way_ = 0, turn_ = 0;

  uint64_t expected_ = 0, received_ = 0, received_measured_ = 0, duplicates_ = 0, reordered_ = 0;
  uint64_t acked_ = 0, acked_measured_ = 0, answered_ = 0, errors_ = 0, closed_ = 0, stalled_closed_ = 0;
  size_t stalled_ = 0;
  uint64_t talking_since_ = 0;
  double stalled_closed_after_ = 0;
  std::string first_error_;
  Histogram sign_in_times_, ack_times_, delivery_times_;
  Json result_;
};

}  // namespace load
