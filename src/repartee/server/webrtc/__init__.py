"""A session over WebRTC: offer, pacing, packets, data channel."""
