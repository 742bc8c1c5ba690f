"""What responses cost, and what a key may spend."""

from __future__ import annotations

from repartee.models import Usage
from repartee.protocol.model import to_raw
from repartee.server.sessions.usage import TokenBudget, wire_usage


def test_what_the_model_says_counts_and_the_rest_is_counted() -> None:
    told = to_raw(wire_usage(Usage(100, 30, 60, 40, 20), counted_input=(1, 1), counted_output=(1, 1)))
    assert (told["input_tokens"], told["output_tokens"], told["total_tokens"]) == (100, 30, 130)
    assert told["input_token_details"]["text_tokens"] == 60
    assert told["input_token_details"]["audio_tokens"] == 40
    assert told["input_token_details"]["cached_tokens_details"]["text_tokens"] == 60
    assert told["output_token_details"] == {"text_tokens": 10, "audio_tokens": 20}
    counted = to_raw(wire_usage(Usage(), counted_input=(5, 6), counted_output=(7, 8)))
    assert (counted["input_tokens"], counted["output_tokens"]) == (11, 15)
    voiced = to_raw(wire_usage(Usage(5, 3), counted_input=(0, 0), counted_output=(9, 8)))
    assert voiced["output_token_details"] == {"text_tokens": 3, "audio_tokens": 8}


def test_a_budget_is_spent_and_refills() -> None:
    budget = TokenBudget(60, 0.0)
    assert not budget.is_spent(0.0)
    budget.spend(90, 0.0)
    assert budget.is_spent(29.0)
    limit = budget.rate_limit(0.0)
    assert (limit.limit, limit.remaining, limit.reset_seconds) == (60, 0, 90.0)
    budget = TokenBudget(60, 0.0)
    budget.spend(90, 0.0)
    assert not budget.is_spent(31.5)
    assert budget.rate_limit(1000.0).remaining == 60
