"""Where audio comes from and goes to: files, the console's microphone and loudspeaker, sockets.

Each transport is a module of its own, imported when it is used, and brings an `AudioInput` and an `AudioOutput`.
"""

from __future__ import annotations
