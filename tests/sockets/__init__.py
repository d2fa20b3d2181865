"""Sockets over the wire: official clients and raw packets, on one instance and on two."""
