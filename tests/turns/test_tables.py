"""The tables by themselves: complete, closed, and loud about anything else."""

from __future__ import annotations

import pytest

from repartee.errors import StateError
from repartee.turns import FLOOR_TABLE, TURN_TABLE, FloorState, TurnState
from repartee.turns.tables import step
from scripts import make_state_diagrams


def test_a_step_is_what_the_table_says() -> None:
    assert step(TURN_TABLE, TurnState.IDLE, "speech") is TurnState.SPEAKING
    assert step(FLOOR_TABLE, FloorState.PAUSED, "think on") is FloorState.THINKING


def test_a_step_that_is_not_in_the_table_names_itself() -> None:
    with pytest.raises(StateError, match=r"no transition 'finish' from FloorState\.IDLE"):
        step(FLOOR_TABLE, FloorState.IDLE, "finish")
    with pytest.raises(StateError, match=r"'silence' from TurnState\.ENDPOINTING"):
        step(TURN_TABLE, TurnState.ENDPOINTING, "silence")


def reachable(table: dict[tuple[object, str], object], start: object) -> set[object]:
    seen, new = {start}, [start]
    while new:
        state = new.pop()
        for (source, _), target in table.items():
            if source is state and target not in seen:
                seen.add(target)
                new.append(target)
    return seen


@pytest.mark.parametrize(
    "states, table", [(TurnState, TURN_TABLE), (FloorState, FLOOR_TABLE)], ids=["turn", "floor"]
)
def test_every_state_is_reached_from_idle_and_leads_back(
    states: type[TurnState] | type[FloorState], table: dict[tuple[object, str], object]
) -> None:
    assert reachable(table, states.IDLE) == set(states)
    for state in states:
        assert states.IDLE in reachable(table, state)


# -- the diagrams in the docs ----------------------------------------------------------------------------------


def test_the_diagrams_in_the_docs_are_those_of_the_tables() -> None:
    page = make_state_diagrams.PAGE.read_text("utf-8")
    assert make_state_diagrams.render(page) == page, "run: python scripts/make_state_diagrams.py"


def test_every_transition_is_drawn() -> None:
    for table in make_state_diagrams.TABLES.values():
        drawn = make_state_diagrams.diagram(table)
        for (source, trigger), target in table.items():
            [arrow] = [
                line
                for line in drawn.splitlines()
                if line.startswith(f"    {source.name} --> {target.name}:")
            ]
            assert trigger in arrow.partition(": ")[2].split(", ")


def test_a_page_without_its_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="needs one place between <!-- turn table: generated -->"):
        make_state_diagrams.render("# Nothing")
