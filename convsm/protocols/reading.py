"""From a frame to the decoder of its type, for every protocol of JSON objects with a ``type``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson

from convsm.machine.events import Event, Informed, Malformed
from convsm.protocols.reports import UnknownMessage
from convsm.protocols.wire import Json, Wrong, too_deep

__all__ = ["decode_frame"]


def decode_frame(
    frame: str | bytes, decoders: Mapping[str, Callable[[Json], tuple[Event, ...]]]
) -> tuple[Event, ...]:
    """Return the events that a server's frame means, in order.

    It never raises: what cannot be read becomes one Malformed, which holds names of the protocol only.

    Args:
        frame: A text frame, as UTF-8 or decoded.
        decoders: What decodes the messages of each type; may raise Wrong.
    """
    try:
        message = orjson.loads(frame)
    except Exception:  # whatever the parser has against it, the frame is to blame and not the session
        return (Malformed("", "", "not JSON in UTF-8 of sane depth"),)
    if type(message) is not dict:
        return (Malformed("", "", "not a JSON object"),)
    kind = message.get("type")
    if type(kind) is not str:
        return (Malformed("", "type", "missing" if kind is None else "not a string"),)
    decoder = decoders.get(kind)
    try:
        return _unknown(kind, message) if decoder is None else decoder(message)
    except Wrong as wrong:
        # Only a type of the protocol's own is named: another could hold anything.
        return (Malformed("" if decoder is None else kind, wrong.field, wrong.problem),)


def _unknown(kind: str, message: Json) -> tuple[Event, ...]:
    if too_deep(message):
        raise Wrong("", "nested too deeply")
    return (Informed(UnknownMessage(kind, message)),)
