// The crowd's wire: connect, upgrade, join, read in bulk, account for every frame. Its life is in crowd.cpp.
#include "sockets.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "wire.h"

namespace load {

namespace {

const std::string kSeq = "\"seq\":";
const std::string kClientId = "\"client_id\":\"";
const std::string kOk = "\"ok\":true";
constexpr uint64_t kTooManyErrors = 1000;
constexpr uint16_t kAttempts = 5;
constexpr size_t kMaxFrame = 16 << 20;

}  // namespace

void Crowd::start_one(size_t index) {
  Client& client = clients_[index];
  const int port = ports_[client.instance];
  client.fd = connect_to(port, index, people_[index].role == 'x');
  client.stage = Stage::Upgrading;
  client.joined = 0;
  client.in.clear();
  if (client.attempts++ == 0) client.started = now();
  client.out = "GET " + path_ + "?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) +
               "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  client.waits_to_write = true;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT;
  event.data.u64 = index;
  if (epoll_ctl(poll_, EPOLL_CTL_ADD, client.fd, &event) < 0) fail("epoll_ctl");
  under_way_++;
}

void Crowd::watch(Client& client, bool writes) {
  client.waits_to_write = writes;
  const uint32_t index = index_of(client);
  epoll_event event{};
  const bool reads = client.stage != Stage::Ready || people_[index].role != 'x';
  event.events = (reads ? EPOLLIN : 0U) | (writes ? EPOLLOUT : 0U);
  event.data.u64 = index;
  epoll_ctl(poll_, EPOLL_CTL_MOD, client.fd, &event);
}

void Crowd::flush(Client& client) {
  if (client.out.empty() || client.stage == Stage::Closed) return;
  const ssize_t count = send(client.fd, client.out.data(), client.out.size(), MSG_NOSIGNAL);
  if (count < 0 && errno != EAGAIN) return drop(client);
  if (count > 0) client.out.erase(0, static_cast<size_t>(count));
  if (client.waits_to_write != !client.out.empty()) watch(client, !client.out.empty());
}

void Crowd::send_text(Client& client, const std::string& text) { append_frame(client.out, text); }

void Crowd::drop(Client& client) {
  if (client.stage == Stage::Closed) return;
  const char role = people_[index_of(client)].role;
  if (client.stage != Stage::Ready) under_way_--;
  if (role != 'x' || client.stage != Stage::Ready) closed_++;
  client.stage = Stage::Closed;
  close(client.fd);
}

void Crowd::refuse(const std::string& why) {
  errors_++;
  if (first_error_.empty()) first_error_ = why.substr(0, 300);
  if (errors_ > kTooManyErrors) fail("too many errors, the first: " + first_error_);
}

// An app comes back when it is told to; how often is counted among the errors.
void Crowd::refuse_connect(Client& client, const std::string& why) {
  refuse("CONNECT refused: " + why);
  if (client.attempts >= kAttempts) return drop(client);
  client.stage = Stage::Closed;
  close(client.fd);
  under_way_--;
  again_.push_back(index_of(client));
}

void Crowd::read(Client& client) {
  if (client.stage == Stage::Closed) return;
  const size_t kept = client.in.size();
  if (kept > kMaxFrame) fail("a frame without end");
  if (kept + (256 << 10) > buffer_.size()) buffer_.resize(kept + (1 << 20));
  std::memcpy(buffer_.data(), client.in.data(), kept);
  const ssize_t count = recv(client.fd, buffer_.data() + kept, buffer_.size() - kept, 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count <= 0) return drop(client);
  const size_t length = kept + static_cast<size_t>(count);
  if (client.stage == Stage::Upgrading) {
    client.in.assign(buffer_.data(), length);
    take_upgrade(client);
  } else {
    const size_t taken = take_frames(client, buffer_.data(), length, now());
    client.in.assign(buffer_.data() + taken, length - taken);
  }
  flush(client);
}

void Crowd::take_upgrade(Client& client) {
  const size_t end = client.in.find("\r\n\r\n");
  if (end == std::string::npos) return;
  if (client.in.compare(0, 12, "HTTP/1.1 101") != 0) {
    refuse("no upgrade: " + client.in.substr(0, 100));
    return drop(client);
  }
  client.stage = Stage::Opening;
  const std::string rest = client.in.substr(end + 4);
  const size_t taken = take_frames(client, rest.data(), rest.size(), now());
  client.in.assign(rest, taken, std::string::npos);
}

size_t Crowd::take_frames(Client& client, const char* at, size_t length, uint64_t moment) {
  size_t taken = 0;
  while (client.stage != Stage::Closed) {
    const Frame frame = read_frame(at + taken, length - taken);
    if (!frame.whole) break;
    taken += frame.size;
    if (frame.operation == 0x81) {
      if (frame.length > 0) take_text(client, frame.text, frame.length, moment);
    } else if (frame.operation == 0x89) {
      append_frame(client.out, std::string(frame.text, frame.length), 0x8a);
    } else if (frame.operation == 0x88) {
      drop(client);
    }
  }
  return taken;
}

void Crowd::take_text(Client& client, const char* text, size_t length, uint64_t moment) {
  if (text[0] == '4' && length > 1) {
    switch (text[1]) {
      case '2':
        return take_event(client, text, length, moment);
      case '3':
        return take_ack(client, text, length, moment);
      case '0':
        return joined(client, moment);
      case '4':
        return refuse_connect(client, std::string(text, length));
      default:
        return;
    }
  }
  if (text[0] == '2') return send_text(client, "3");
  if (text[0] == '0' && client.stage == Stage::Opening) {
    client.stage = Stage::Joining;
    send_text(client, "40{\"token\":\"" + people_[index_of(client)].token + "\",\"protocol\":1}");
  } else if (text[0] == '1') {
    drop(client);
  }
}

void Crowd::joined(Client& client, uint64_t moment) {
  if (client.stage != Stage::Joining) return;
  if (++client.joined < namespaces_.size()) return send_text(client, "40" + namespaces_[client.joined] + ",");
  client.stage = Stage::Ready;
  under_way_--;
  ready_++;
  sign_in_times_.add(moment - client.started);
  if (people_[index_of(client)].role == 'x') watch(client, false);
}

void Crowd::take_event(Client& client, const char* text, size_t length, uint64_t moment) {
  if (length < event_prefix_.size() || std::memcmp(text, event_prefix_.data(), event_prefix_.size()) != 0) return;
  const char* seq = find_key(text, length, kSeq.data(), kSeq.size(), seq_hint_);
  const char* id = find_key(text, length, kClientId.data(), kClientId.size(), id_hint_);
  if (seq == nullptr || id == nullptr || id + kUuid > text + length)
    return refuse("not an envelope: " + std::string(text, length));
  const uint32_t number = number_of(id);
  if (number >= sent_.size()) return refuse("a message nobody sent: " + std::string(text, length));
  const Sent& sent = sent_[number];
  int64_t place = 0;
  for (; *seq >= '0' && *seq <= '9'; seq++) place = place * 10 + (*seq - '0');
  note_order(client.orders[instance_orders_ ? clients_[sent.sender].instance : 0], place);
  received_++;
  if (moment >= from_ && moment < to_) received_measured_++;
  if (sent.at >= from_ && sent.at < to_) delivery_times_.add(moment > sent.at ? moment - sent.at : 0);
}

void Crowd::note_order(Order& order, int64_t seq) {
  if (seq > order.highest) {
    const int64_t step = seq - order.highest;
    order.seen = order.highest < 0 || step >= 64 ? 1 : order.seen << step | 1;
    order.highest = seq;
    return;
  }
  const int64_t back = order.highest - seq;
  if (back < 64 && (order.seen >> back & 1) != 0) {
    duplicates_++;
    return;
  }
  if (back < 64) order.seen |= 1ULL << back;
  reordered_++;
}

void Crowd::take_ack(Client& client, const char* text, size_t length, uint64_t moment) {
  if (length < ack_prefix_.size() || std::memcmp(text, ack_prefix_.data(), ack_prefix_.size()) != 0) return;
  const char* at = text + ack_prefix_.size();
  uint32_t number = 0;
  for (; at < text + length && *at >= '0' && *at <= '9'; at++) number = number * 10 + static_cast<uint32_t>(*at - '0');
  if (number >= sent_.size()) return refuse("an ack for nothing: " + std::string(text, length));
  answered_++;
  if (memmem(at, std::min<size_t>(static_cast<size_t>(text + length - at), 40), kOk.data(), kOk.size()) == nullptr) {
    refuse("not done: " + std::string(text, length));
    expected_ -= rooms_[client.room].readers;
  } else {
    acked_++;
    if (moment >= from_ && moment < to_) acked_measured_++;
    const uint64_t sent = sent_[number].at;
    if (sent >= from_ && sent < to_) ack_times_.add(moment > sent ? moment - sent : 0);
  }
  if (repeats_) send_message(index_of(client), moment);
}

void Crowd::send_message(uint32_t sender, uint64_t due) {
  Client& client = clients_[sender];
  if (client.stage != Stage::Ready) return;
  const auto number = static_cast<uint32_t>(sent_.size());
  sent_.push_back({due, sender});
  std::string packet = command_prefix_ + std::to_string(number) + "[\"send_message\",{\"conversation_id\":\"" +
                       rooms_[client.room].conversation + middle_;
  char id[kUuid];
  write_client_id(id, number);
  packet.append(id, kUuid);
  packet += end_;
  send_text(client, packet);
  expected_ += rooms_[client.room].readers;
}

}  // namespace load
