"""`HeardLedger`: the one place that knows what the caller has heard.

Theory of operation. The audio of all items goes, in order, onto one output, whose playback position is a number of
samples. The ledger keeps, for each item, which stretches of that number line are its own. Three totals move, and never
backwards: ``generated`` (received from the model), ``sent`` (written to the output) and ``played`` (acknowledged by
it), with ``generated >= sent >= played`` at all times. Clearing the output takes back what was sent and not played:
the lines of the items end where playback ended, and the next write begins there.

*Heard* of an item is then a subtraction, and its words a look-up in its `Alignment`. Truncation, history, captions and
metrics all ask here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from repartee.errors import StateError
from repartee.turns.alignment import Alignment

__all__ = ["HeardLedger", "ItemAccount"]


@dataclass(slots=True)
class ItemAccount:
    """What is known of one item. Samples are of the output's rate."""

    item_id: str
    response_id: str
    alignment: Alignment = field(default_factory=Alignment)
    generated_samples: int = 0
    sent_samples: int = 0
    played_samples: int = 0
    closed: bool = False
    """The model will give nothing more of it."""


@dataclass(slots=True)
class _Stretch:
    account: ItemAccount
    samples: int
    played: int = 0


class HeardLedger:
    """Accounts for what was generated, sent and played on one output.

    Args:
        sample_rate: the output's, in Hz.
        keep_items: how many finished accounts to remember (a late truncation asks for them). Default 64; the oldest
            are forgotten first.
    """

    __slots__ = ("_accounts", "_keep", "_line", "_played", "_sent", "sample_rate")

    def __init__(self, sample_rate: int, *, keep_items: int = 64) -> None:
        self.sample_rate = sample_rate
        self._keep = keep_items
        self._accounts: dict[str, ItemAccount] = {}
        self._line: deque[_Stretch] = deque()  # bounded by what the output holds unplayed
        self._sent = 0
        self._played = 0

    # -- totals ------------------------------------------------------------------------------------------------

    @property
    def sent_samples(self) -> int:
        """Written to the output so far, less what was cleared."""
        return self._sent

    @property
    def played_samples(self) -> int:
        """Acknowledged by the output so far."""
        return self._played

    @property
    def unplayed_samples(self) -> int:
        """Sent and not acknowledged yet."""
        return self._sent - self._played

    def account(self, item_id: str) -> ItemAccount | None:
        """One item's account, or ``None``."""
        return self._accounts.get(item_id)

    # -- what happens ------------------------------------------------------------------------------------------

    def open(self, item_id: str, response_id: str) -> ItemAccount:
        """The account of an item, made at its first mention."""
        account = self._accounts.get(item_id)
        if account is None:
            while len(self._accounts) >= self._keep:
                del self._accounts[self._oldest()]
            account = self._accounts[item_id] = ItemAccount(item_id, response_id)
        return account

    def _oldest(self) -> str:
        """The item to forget: the oldest of which nothing is being played, else the oldest."""
        playing = {stretch.account.item_id for stretch in self._line}
        return next(
            (item_id for item_id in self._accounts if item_id not in playing), next(iter(self._accounts))
        )

    def generated(self, account: ItemAccount, samples: int) -> None:
        """The model gave that much more audio for an item."""
        account.generated_samples += samples
        account.alignment.add_audio(samples * 1000.0 / self.sample_rate)

    def sent(self, account: ItemAccount, samples: int) -> None:
        """That much more of an item went to the output.

        Raises:
            StateError: more was sent than generated, which is a fault of the caller's.
        """
        sent = account.sent_samples + samples
        if sent > account.generated_samples:
            raise StateError(
                f"{sent} samples of {account.item_id} sent, but {account.generated_samples} generated"
            )
        account.sent_samples = sent
        self._sent += samples
        if self._line and self._line[-1].account is account:
            self._line[-1].samples += samples
        else:
            self._line.append(_Stretch(account, samples))

    def played(self, position_samples: int) -> None:
        """The output acknowledges a position.

        Anything behind what is known is ignored, anything beyond what was sent is cut to it: an output can't have
        played what it was not given.
        """
        left = min(position_samples, self._sent) - self._played
        if left <= 0:
            return
        self._played += left
        while left:
            stretch = self._line[0]
            step = min(left, stretch.samples - stretch.played)
            stretch.played += step
            stretch.account.played_samples += step
            left -= step
            if stretch.played == stretch.samples:
                self._line.popleft()

    def cleared(self, position_samples: int) -> None:
        """The output dropped everything behind that position."""
        self.played(position_samples)
        for stretch in self._line:
            stretch.account.sent_samples -= stretch.samples - stretch.played
        self._line.clear()
        self._sent = self._played

    def close(self, account: ItemAccount) -> None:
        """The model will give nothing more of an item."""
        account.closed = True
        account.alignment.close()

    def cut_off(self, account: ItemAccount) -> None:
        """The model broke off in the middle of an item."""
        account.alignment.cut_off()
        self.close(account)

    # -- what was heard ----------------------------------------------------------------------------------------

    def heard_ms(self, item_id: str) -> float:
        """How much of an item's audio was heard, in ms. 0 for an item it does not know."""
        account = self._accounts.get(item_id)
        return account.played_samples * 1000.0 / self.sample_rate if account is not None else 0.0

    def heard_text(self, item_id: str) -> str:
        """The words of an item that were heard."""
        account = self._accounts.get(item_id)
        return account.alignment.text_at(self.heard_ms(item_id)) if account is not None else ""
