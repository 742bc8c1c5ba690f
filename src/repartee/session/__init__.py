"""`AgentSession`: an agent in conversation."""

from repartee.session.agent_session import Agent, AgentSession
from repartee.session.playback import Playback
from repartee.session.speech_handle import SpeechHandle

__all__ = ["Agent", "AgentSession", "Playback", "SpeechHandle"]
