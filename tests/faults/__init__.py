"""The promises under faults: real processes are killed, networks die, and what was promised is counted afterwards."""
