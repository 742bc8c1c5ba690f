"""The server's ears: turns in the caller's audio, in audio time."""
