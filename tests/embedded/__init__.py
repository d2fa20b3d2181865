"""The servers of our own: started, stopped, killed and healed, as root and as an ordinary user."""
