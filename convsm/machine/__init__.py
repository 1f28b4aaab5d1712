"""The core: the declared automaton of a conversation. Pure; it imports only attrs and transitions."""

from convsm.machine import effects, events
from convsm.machine.context import SessionOptions
from convsm.machine.errors import ConvsmError, RefusedCommand, TableError
from convsm.machine.rows import Row, State
from convsm.machine.session import Session
from convsm.machine.table import GROUPS, INITIAL, ROWS, STATES

__all__ = [
    "GROUPS",
    "INITIAL",
    "ROWS",
    "STATES",
    "ConvsmError",
    "RefusedCommand",
    "Row",
    "Session",
    "SessionOptions",
    "State",
    "TableError",
    "effects",
    "events",
]
