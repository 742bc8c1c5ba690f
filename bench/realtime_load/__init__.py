"""The load for `bench/realtime.py`: a lean Realtime server, and clients that measure themselves, a process each."""
