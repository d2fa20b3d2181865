"""REST: one file per area, on the typed routes of http.py."""
