"""Golden files of the wire, and events and messages in the form in which those files hold them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
from hypothesis import strategies as st

from convsm.machine import effects
from convsm.protocols import messages, openai_options, turn_messages

GOLDEN = Path(__file__).with_name("golden")

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def entries(holding: str, folder: Path = GOLDEN) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the entries of all golden files that have a key, each with the name of its file."""
    for path in sorted(folder.glob("*.json")):
        for entry in json.loads(path.read_text(encoding="utf-8")):
            if holding in entry:
                yield path.stem, entry


def plain(value: object) -> Any:
    """Return events, messages and what they hold as golden files write them."""
    kind = type(value)
    if attrs.has(kind):
        names = [name for name in attrs.fields_dict(kind) if name != "at"]
        return {"is": kind.__name__, **{name: plain(getattr(value, name)) for name in names}}
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def exactly(value: object) -> str:
    """Return JSON as text, in which 1, 1.0 and true differ as they do on the wire."""
    return json.dumps(value, sort_keys=True)


def message_of(said: dict[str, Any]) -> object:
    """Return the message that a golden file describes."""
    fields = dict(said)
    name = fields.pop("is")
    homes = (messages, turn_messages, openai_options, effects)
    kind: Any = next(getattr(home, name) for home in homes if hasattr(home, name))
    return kind(**fields)
