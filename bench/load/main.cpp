// The load tool: `load sockets --…` or `load http --…`; one JSON object on standard output.
#include <csignal>
#include <string>

#include "tools.h"

int main(int count, char** words) {
  const std::string mode = count > 1 ? words[1] : "";
  const load::Options options(count, words);
  std::signal(SIGPIPE, SIG_IGN);
  load::raise_file_limit();
  if (mode == "sockets") return load::run_sockets(options);
  if (mode == "http") return load::run_http(options);
  load::fail("the first word is `sockets` or `http`");
}
