"""What happened in a session: one log, and views of it."""

from repartee.observe.log import AudioLogged, LogEntry, SessionLog
from repartee.observe.metrics import LatencyView, TurnLatency

__all__ = ["AudioLogged", "LatencyView", "LogEntry", "SessionLog", "TurnLatency"]
