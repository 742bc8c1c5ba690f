"""repartee: real-time voice agents that answer at once, stop when interrupted, and know what was heard."""
