"""Things outside the process, one `noun_backend.py` each."""
