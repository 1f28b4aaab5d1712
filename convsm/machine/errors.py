"""The errors that the machine itself can raise, and the root of every convsm error."""

__all__ = ["ConvsmError", "RefusedCommand", "TableError"]


class ConvsmError(Exception):
    """The root of all errors that convsm raises on purpose."""


class RefusedCommand(ConvsmError, RuntimeError):
    """A command (an API call) came in a state that has no row for it; nothing was changed.

    Attributes:
        command: Name of the refused command.
        state: State of the session when it refused.
        accepts: Names of the commands that this state accepts.
    """

    def __init__(self, command: str, state: str, accepts: tuple[str, ...] = (), reason: str = "") -> None:
        self.command = command
        self.state = state
        self.accepts = accepts
        text = reason or f"{command} is not possible in state {state!r}"
        super().__init__(f"{text} (accepted here: {', '.join(accepts) or 'nothing'})")


class TableError(ConvsmError):
    """The transition table contradicts itself or names something that does not exist."""
