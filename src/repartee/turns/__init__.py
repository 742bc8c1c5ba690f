"""Turn-taking as pure machines: facts and the time in, decisions and their reasons out."""

from repartee.turns.alignment import Alignment
from repartee.turns.endpointing import DynamicEndpointing, Endpointing, FixedEndpointing, SemanticEndpointing
from repartee.turns.engine import TurnEngine
from repartee.turns.interruption import InterruptionOptions, InterruptionProfile, normalise
from repartee.turns.ledger import HeardLedger, ItemAccount
from repartee.turns.options import SpeculationOptions, TurnMode, TurnOptions
from repartee.turns.speech import Edge, EdgeKind, SpeechGate, SpeechGateOptions
from repartee.turns.tables import FLOOR_TABLE, TURN_TABLE, FloorState, TurnState

__all__ = [
    "FLOOR_TABLE",
    "TURN_TABLE",
    "Alignment",
    "DynamicEndpointing",
    "Edge",
    "EdgeKind",
    "Endpointing",
    "FixedEndpointing",
    "FloorState",
    "HeardLedger",
    "InterruptionOptions",
    "InterruptionProfile",
    "ItemAccount",
    "SemanticEndpointing",
    "SpeculationOptions",
    "SpeechGate",
    "SpeechGateOptions",
    "TurnEngine",
    "TurnMode",
    "TurnOptions",
    "TurnState",
    "normalise",
]
