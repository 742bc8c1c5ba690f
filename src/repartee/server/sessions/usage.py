"""What responses cost, as the protocol tells it; and the tokens that a key may spend in a minute."""

from __future__ import annotations

from repartee.models import Usage
from repartee.protocol import responses as wire
from repartee.protocol.events import RateLimit

__all__ = ["TokenBudget", "wire_usage"]


def wire_usage(
    given: Usage, *, counted_input: tuple[int, int], counted_output: tuple[int, int]
) -> wire.Usage:
    """What a response cost: as the model says, and counted where it doesn't.

    Args:
        given: by the model; zeros where it says nothing.
        counted_input: text and audio tokens of what it was given.
        counted_output: text and audio tokens of what it gave.
    """
    if given.input_tokens:
        audio_in = given.input_audio_tokens
        text_in = given.input_tokens - audio_in
    else:
        text_in, audio_in = counted_input
    text_out, audio_out = counted_output
    if given.output_tokens:
        text_out = given.output_tokens - given.output_audio_tokens
        audio_out = given.output_audio_tokens or audio_out  # a text model doesn't know of its voice
    cached = min(given.cached_tokens, text_in + audio_in)
    cached_text = min(cached, text_in)
    return wire.Usage(
        total_tokens=text_in + audio_in + text_out + audio_out,
        input_tokens=text_in + audio_in,
        output_tokens=text_out + audio_out,
        input_token_details=wire.InputTokenDetails(
            text_tokens=text_in,
            audio_tokens=audio_in,
            image_tokens=0,
            cached_tokens=cached,
            cached_tokens_details=wire.CachedTokensDetails(
                text_tokens=cached_text, audio_tokens=cached - cached_text, image_tokens=0
            ),
        ),
        output_token_details=wire.OutputTokenDetails(text_tokens=text_out, audio_tokens=audio_out),
    )


class TokenBudget:
    """Tokens that may be spent in a minute, refilled steadily. One for each key, shared by its sessions.

    Args:
        tokens_per_min: how many.
        now: seconds of any steady clock.
    """

    def __init__(self, tokens_per_min: int, now: float) -> None:
        self.tokens_per_min = tokens_per_min
        self._left = float(tokens_per_min)
        self._at_s = now

    def _refill(self, now: float) -> None:
        self._left = min(
            float(self.tokens_per_min), self._left + (now - self._at_s) * self.tokens_per_min / 60.0
        )
        self._at_s = now

    def spend(self, tokens: int, now: float) -> None:
        """So many were spent. What a response costs is known when it is over, so it may leave a debt."""
        self._refill(now)
        self._left -= tokens

    def is_spent(self, now: float) -> bool:
        """Whether no response may begin now."""
        self._refill(now)
        return self._left < 1.0

    def rate_limit(self, now: float) -> RateLimit:
        """As ``rate_limits.updated`` tells it."""
        self._refill(now)
        missing = self.tokens_per_min - self._left
        return RateLimit(
            name="tokens",
            limit=self.tokens_per_min,
            remaining=max(0, int(self._left)),
            reset_seconds=round(missing * 60.0 / self.tokens_per_min, 3),
        )
