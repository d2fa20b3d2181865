"""Sockets: what clients may say and what clients are told."""
