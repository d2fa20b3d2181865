"""The socket engine: frames, handshakes, hostile clients, slow readers, limits, the end."""
