"""Pictures and documents of an automaton, generated from its rows; no arrow is typed by hand."""

from convsm.diagram.files import main, stale, write
from convsm.diagram.graphviz import dot, svg
from convsm.diagram.inspection import inspect
from convsm.diagram.matrix import matrix
from convsm.diagram.mermaid import mermaid
from convsm.diagram.model import CONVERSATION, Automaton, Input

__all__ = [
    "CONVERSATION",
    "Automaton",
    "Input",
    "dot",
    "inspect",
    "main",
    "matrix",
    "mermaid",
    "stale",
    "svg",
    "write",
]
