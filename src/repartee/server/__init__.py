"""`/v1/realtime` over WebSocket and WebRTC: any OpenAI Realtime client can use what is served here."""

from __future__ import annotations
