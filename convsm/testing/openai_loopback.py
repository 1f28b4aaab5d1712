"""A scripted agent on a loopback port to test voice clients of the OpenAI Realtime protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar
from urllib.parse import urlsplit

import attrs

from convsm.testing.connection import LoopbackConnection
from convsm.testing.http_requests import HttpMessage
from convsm.testing.loopback import LoopbackAgent
from convsm.testing.openai_connection import OpenAIConnection
from convsm.testing.openai_script import CreateSession
from convsm.testing.script import Step
from convsm.testing.websocket_server import WebSocketStream

__all__ = ["OpenAILoopbackAgent"]

SESSION = "/v1/realtime"


@attrs.define(eq=False)
class OpenAILoopbackAgent(LoopbackAgent):
    """A WebSocket server on 127.0.0.1 that plays an OpenAI Realtime server.

    All is as with a LoopbackAgent but for the protocol: the opening tells the client about its session, and
    what the service does by itself (it updates the session, adds and truncates items, commits audio,
    cancels a response, refuses a second one) needs no step. Steps of the protocol are in
    ``convsm.testing.openai_script``; what it says is the script's, a response for each Say.

    >>> import json
    >>> from websockets.sync.client import connect
    >>> from convsm.testing import Expect, OpenAILoopbackAgent
    >>> from convsm.testing.openai_script import Say
    >>> script = [Expect("response.create"), Say("Hello!", seconds=0.1)]
    >>> with OpenAILoopbackAgent(script) as agent, connect(agent.url) as client:
    ...     client.send('{"type": "response.create"}')
    ...     types = [json.loads(client.recv())["type"] for _ in range(6)]
    >>> types[0], types[1], types[5]
    ('session.created', 'response.created', 'response.output_audio.delta')

    Attributes:
        api_key: What the header ``Authorization: Bearer …`` has to hold, or the answer is a 401; None
            demands nothing.
        output_format: Format of the agent's audio until the client says otherwise: ``pcm_24000``,
            ``ulaw_8000`` or ``alaw_8000``.
        input_format: Format of the user's audio, likewise.
    """

    connection_class: ClassVar[type[LoopbackConnection]] = OpenAIConnection
    opening_steps: ClassVar[Sequence[Step]] = (CreateSession(),)

    output_format: str = attrs.field(default="pcm_24000", kw_only=True)
    input_format: str = attrs.field(default="pcm_24000", kw_only=True)

    @property
    def url(self) -> str:
        """URL of a session, ``ws://127.0.0.1:PORT/v1/realtime``; once started."""
        return f"ws://{self._server.host}:{self.port}{SESSION}?model=gpt-realtime"

    def _serve(self, stream: WebSocketStream) -> None:
        request = stream.read_request()
        if request is None:
            return
        if isinstance(request, HttpMessage):
            self._answer(stream, request, 404, {"error": {"message": "Not Found"}})
            return
        wanted = None if self.api_key is None else f"Bearer {self.api_key}"
        if not urlsplit(request.path).path.endswith("/realtime"):
            self._answer(stream, request, 404, {"error": {"message": "Not Found"}})
        elif wanted is not None and request.headers.get("Authorization") != wanted:
            self._answer(stream, request, 401, {"error": {"code": "invalid_api_key"}})
        else:
            self._converse(stream, request)
