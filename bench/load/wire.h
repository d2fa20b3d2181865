// RFC 6455 as a client speaks it.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>

namespace load {

constexpr unsigned char kMask[4] = {0x37, 0xfa, 0x21, 0x3d};

// Append one masked text frame; a mask that is not zero makes the server do the work a browser makes it do.
inline void append_frame(std::string& out, const std::string& text, unsigned char operation = 0x81) {
  const size_t length = text.size();
  out += static_cast<char>(operation);
  if (length < 126) {
    out += static_cast<char>(0x80 | length);
  } else {
    out += static_cast<char>(0x80 | 126);
    out += static_cast<char>(length >> 8);
    out += static_cast<char>(length & 255);
  }
  out.append(reinterpret_cast<const char*>(kMask), 4);
  const size_t start = out.size();
  out += text;
  for (size_t at = 0; at < length; at++) {
    out[start + at] = static_cast<char>(out[start + at] ^ static_cast<char>(kMask[at & 3]));
  }
}

// A frame's place in a buffer; `whole` says whether all of it is there.
struct Frame {
  bool whole = false;
  unsigned char operation = 0;
  const char* text = nullptr;
  size_t length = 0;
  size_t size = 0;
};

inline Frame read_frame(const char* at, size_t length) {
  Frame frame;
  if (length < 2) return frame;
  const auto* bytes = reinterpret_cast<const unsigned char*>(at);
  size_t head = 2;
  frame.operation = bytes[0];
  frame.length = bytes[1] & 127;
  if (frame.length == 126) {
    if (length < 4) return frame;
    frame.length = static_cast<size_t>(bytes[2]) << 8 | bytes[3];
    head = 4;
  } else if (frame.length == 127) {
    if (length < 10) return frame;
    frame.length = 0;
    for (int byte = 2; byte < 10; byte++) frame.length = frame.length << 8 | bytes[byte];
    head = 10;
  }
  frame.size = head + frame.length;
  frame.text = at + head;
  frame.whole = length >= frame.size;
  return frame;
}

// Find `key` in a text, first where it stood the last time: frames of one kind have one layout.
inline const char* find_key(const char* text, size_t length, const char* key, size_t key_length, size_t& hint) {
  if (hint + key_length <= length && std::memcmp(text + hint, key, key_length) == 0) return text + hint + key_length;
  const void* found = memmem(text, length, key, key_length);
  if (found == nullptr) return nullptr;
  hint = static_cast<size_t>(static_cast<const char*>(found) - text);
  return text + hint + key_length;
}

}  // namespace load
