"""A test kit for voice agents: virtual time, scripted models, a microphone and a loudspeaker in memory, checkers."""
