"""The Realtime protocol, typed once, for both roles. Pure: events in, events out; no socket, no clock, no task.

The way in: `events` (all of them), `codec` (frames ↔ events), `connection` (what is legal now, and what follows; its
prologue shows both roles), `beta` (the old names). Below them: `model`, `config`, `tools`, `items`, `responses` (the
objects), `limits` (their values), `faults` (every error), `conversation`, `tables`, `flow` (the state),
`requests` (a client's), `server_side`, `response_writer`, `item_writer` (a server's).
"""
