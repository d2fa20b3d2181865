"""The names of the IANA time zones, from the package tzdata: the same on every machine, unlike those of its system."""

from __future__ import annotations

from importlib.resources import files

TIME_ZONES = sorted(files("tzdata").joinpath("zones").read_text(encoding="ascii").split())
