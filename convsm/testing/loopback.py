"""A scripted agent on a loopback port to test voice clients of the ElevenLabs protocol over a real socket."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, cast
from urllib.parse import parse_qs, quote, unquote, urlsplit

import attrs
import orjson
from websockets.http11 import Request

from convsm.errors import ConfigurationError
from convsm.testing.connection import LoopbackConnection, StepLike
from convsm.testing.expectations import TIMEOUT_SECONDS, ScriptFailure, WaitForInitiation
from convsm.testing.http_requests import HttpMessage, ReceivedFile, parse_upload
from convsm.testing.script import SendMetadata, Step
from convsm.testing.websocket_server import WebSocketServer, WebSocketStream

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["HttpRequest", "LoopbackAgent", "Script"]

Script = Sequence[StepLike | Sequence[StepLike]] | Callable[[int], Sequence[StepLike]]

CONVERSATION = "/v1/convai/conversation"
# Deployments in a customer's network have another prefix, and so have proxies.
CONVERSATION_SUFFIX = "/convai/conversation"
SIGNED_URL_SUFFIX = "/convai/conversation/get-signed-url"
POSTED = re.compile("/convai/conversations/([^/]+)/(files|feedback)$")
WRONG_KEY = {"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}
OPENING: Sequence[Step] = (WaitForInitiation(), SendMetadata())


@attrs.frozen
class HttpRequest:
    """One HTTP request, an upgrade or not.

    Attributes:
        path: Path and query as they came.
        headers: Case-insensitive; the API key is among them.
        status: What was answered; None for an upgrade request that the script dealt with.
        method: ``GET``, or ``POST`` for what has a body.
        body: The body.
    """

    path: str = attrs.field(repr=lambda path: repr(urlsplit(path).path))
    headers: Mapping[str, str] = attrs.field(repr=False)
    status: int | None
    method: str = "GET"
    body: bytes = attrs.field(default=b"", repr=False)


@attrs.define(eq=False)
class LoopbackAgent:
    """A WebSocket server on 127.0.0.1 that plays an agent of the ElevenLabs protocol.

    Each conversation plays the script from its start, in a thread of its own, behind an opening that
    waits for the client's initiation message and sends the metadata. After the script the connection
    stays open until the client closes it. Whatever the client sends is recorded.

    A script that fails (an expectation times out, the client leaves before it, a step raises) closes
    with 1011, and leaving the ``with`` block raises an AssertionError that lists the failures; so do
    frames of the client's that break the protocol.

    >>> import json
    >>> from websockets.sync.client import connect
    >>> from convsm.testing import Expect, LoopbackAgent, Ping, Say
    >>> script = [Say("Hello!", seconds=0.2), Ping(7), Expect("pong", 7)]
    >>> with LoopbackAgent(script) as agent, connect(agent.url) as client:
    ...     client.send('{"type": "conversation_initiation_client_data"}')
    ...     types = [json.loads(client.recv())["type"] for _ in range(5)]
    ...     client.send('{"type": "pong", "event_id": 7}')
    ...     agent.wait_for_connection().script_done.wait(5)
    True
    >>> types
    ['conversation_initiation_metadata', 'agent_response', 'audio', 'audio', 'ping']

    ``start`` and ``stop`` may be called instead of entering and leaving; both may be repeated. ``stop``
    drops what is open without a close frame. All methods may be called from any thread.

    Attributes:
        script: The steps; a list of such scripts, one a connection (the last for all further ones); or
            a function from the connection's number (from 0) to its steps. A step is a Step, a mapping
            that is sent as a message, or a function of the LoopbackConnection.
        opening: Whether the opening goes in front.
        output_format: Format of the agent's audio in the metadata.
        input_format: Format of the user's audio in the metadata.
        api_key: What the signed-URL endpoint demands in the header ``xi-api-key``; None demands nothing.
        requires_auth: Whether a conversation needs a signature from that endpoint (else it gets a 403).
        port: Port to listen on; 0 takes a free one. A restarted agent keeps its port.
        record_limit: Messages recorded of a connection; more is a failure.
        receive_buffer_bytes: Kernel receive buffer; a small one makes StopReading felt early.
        post_answer: Status and body that every POST (an upload, a rating) is answered with in place of the
            service's answer, to refuse or to garble; it may be set and reset while the agent runs.
    """

    connection_class: ClassVar[type[LoopbackConnection]] = LoopbackConnection
    opening_steps: ClassVar[Sequence[Step]] = OPENING

    script: Script = ()
    opening: bool = attrs.field(default=True, kw_only=True)
    output_format: str = attrs.field(default="pcm_16000", kw_only=True)
    input_format: str = attrs.field(default="pcm_16000", kw_only=True)
    api_key: str | None = attrs.field(default=None, kw_only=True, repr=False)
    requires_auth: bool = attrs.field(default=False, kw_only=True)
    port: int = attrs.field(default=0, kw_only=True)
    # Room for an hour of the usual quarter-second chunks, or 40 minutes of the browser's 25 ms.
    record_limit: int = attrs.field(default=100_000, kw_only=True)
    receive_buffer_bytes: int | None = attrs.field(default=None, kw_only=True)
    post_answer: tuple[int, bytes] | None = attrs.field(default=None, kw_only=True, repr=False)
    # Not bounded: one a connection or request of the test under way.
    _connections: list[LoopbackConnection] = attrs.field(factory=list, init=False, repr=False)
    _requests: list[HttpRequest] = attrs.field(factory=list, init=False, repr=False)
    _uploads: list[ReceivedFile] = attrs.field(factory=list, init=False, repr=False)
    _failures: list[str] = attrs.field(factory=list, init=False, repr=False)
    _signatures: list[str] = attrs.field(factory=list, init=False, repr=False)
    _changed: threading.Condition = attrs.field(factory=threading.Condition, init=False, repr=False)
    _server: WebSocketServer = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not callable(self.script):
            nested = [isinstance(step, list | tuple) for step in self.script]
            if any(nested) and not all(nested):
                raise ConfigurationError(
                    "The script mixes steps and scripts; give steps, or one list a connection."
                )
        self._server = WebSocketServer(
            self._serve, port=self.port, receive_buffer_bytes=self.receive_buffer_bytes
        )

    # Life

    def start(self) -> None:
        """Listen; does nothing if already listening.

        Raises:
            OSError: The port is taken.
        """
        self._server.start()
        self.port = self._server.port

    def stop(self) -> None:
        """Stop listening, drop what is open, end every thread; does nothing if not listening."""
        self._server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if kind is None:
            self.raise_failures()

    @property
    def base_url(self) -> str:
        """What a client derives its URLs from, ``http://127.0.0.1:PORT``; once started."""
        return f"http://{self._server.host}:{self.port}"

    @property
    def url(self) -> str:
        """URL of the conversation endpoint, ``ws://127.0.0.1:PORT/v1/convai/conversation``; once started."""
        return f"ws://{self._server.host}:{self.port}{CONVERSATION}"

    # What happened

    @property
    def connections(self) -> list[LoopbackConnection]:
        """Every conversation that a client asked for, in order; those that a script refused too."""
        with self._changed:
            return list(self._connections)

    @property
    def requests(self) -> list[HttpRequest]:
        """Every HTTP request, in order, the upgrade requests among them."""
        with self._changed:
            return list(self._requests)

    @property
    def uploads(self) -> list[ReceivedFile]:
        """Every file that was uploaded, in order."""
        with self._changed:
            return list(self._uploads)

    @property
    def failures(self) -> list[str]:
        """Every failure so far, of all connections."""
        with self._changed:
            mine = list(self._failures)
        return mine + [
            f"connection {connection.number}: {failure}"
            for connection in self.connections
            for failure in connection.failures
        ]

    def raise_failures(self) -> None:
        """Raise if a script failed or a client broke the protocol.

        Raises:
            ScriptFailure: An AssertionError that lists the failures.
        """
        if failures := self.failures:
            raise ScriptFailure("\n".join(["The loopback agent reports:", *failures]))

    def forgive(self) -> list[str]:
        """Forget the failures so far, for a test that provokes them; returns them."""
        failures = self.failures
        with self._changed:
            self._failures.clear()
        for connection in self.connections:
            connection.failures.clear()
        return failures

    def wait_for_connection(self, timeout: float = TIMEOUT_SECONDS, *, number: int = 0) -> LoopbackConnection:
        """Wait until a client asks for a conversation.

        Args:
            timeout: Seconds.
            number: Which conversation, from 0.

        Raises:
            ScriptFailure: None came.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._connections) > number, timeout):
                raise ScriptFailure(
                    f"No connection number {number} within {timeout:g} s; is the client started?"
                )
            return self._connections[number]

    def sign(self, agent_id: str = "agent_1") -> str:
        """Make a signed URL, as the endpoint does; ``+`` and ``%2F`` in its signature show who re-encodes."""
        with self._changed:
            number = len(self._signatures)
            self._signatures.append(f"cvtkn {number}/loopback")
        return (
            f"{self.url}?agent_id={quote(agent_id, safe='')}&conversation_signature=cvtkn+{number}%2Floopback"
        )

    # Serving, in a connection's thread

    def _serve(self, stream: WebSocketStream) -> None:
        request = stream.read_request()
        if request is None:
            return
        path = urlsplit(request.path).path
        if isinstance(request, HttpMessage):
            status, body = self.post_answer or self._take(request, path)
            self._answer(stream, request, status, body)
        elif path.endswith(SIGNED_URL_SUFFIX):
            self._answer(stream, request, *self._sign(request))
        elif not path.endswith(CONVERSATION_SUFFIX):
            self._answer(stream, request, 404, {"detail": "Not Found"})
        elif self.requires_auth and self._query(request, "conversation_signature") not in self._signatures:
            self._answer(stream, request, 403, {"detail": "The signature is missing or wrong."})
        else:
            self._converse(stream, request)

    def _record(self, request: Request | HttpMessage, status: int | None) -> None:
        rest = (request.method, request.body) if isinstance(request, HttpMessage) else ()
        with self._changed:
            self._requests.append(HttpRequest(request.path, request.headers, status, *rest))
            self._changed.notify_all()

    def _answer(
        self,
        stream: WebSocketStream,
        request: Request | HttpMessage,
        status: int,
        body: Mapping[str, Any] | bytes,
    ) -> None:
        self._record(request, status)
        written = body if isinstance(body, bytes) else orjson.dumps(body)
        stream.respond(status, written, {"Content-Type": "application/json"})
        stream.drain()

    def _take(self, request: HttpMessage, path: str) -> tuple[int, Mapping[str, Any]]:
        # The service knows such a request by the conversation's id; a key may be left out, but not be wrong.
        if self.api_key is not None and request.headers.get("xi-api-key", self.api_key) != self.api_key:
            return 401, WRONG_KEY
        found = POSTED.search(path)
        if request.method != "POST" or found is None:
            return 404, {"detail": "Not Found"}
        if found[2] == "feedback":
            return 200, {}
        with self._changed:
            upload = parse_upload(request, unquote(found[1]), f"file_{len(self._uploads)}")
            if upload is None:
                return 422, {
                    "detail": [{"loc": ["body", "file"], "msg": "Field required", "type": "missing"}]
                }
            self._uploads.append(upload)
        return 200, {"file_id": upload.file_id}

    @staticmethod
    def _query(request: Request, name: str) -> str | None:
        # Compared as a server's framework decodes it; whoever wants it verbatim looks at request_path.
        return parse_qs(urlsplit(request.path).query).get(name, [None])[0]

    def _sign(self, request: Request) -> tuple[int, Mapping[str, Any]]:
        if self.api_key is not None and request.headers.get("xi-api-key") != self.api_key:
            return 401, WRONG_KEY
        agent_id = self._query(request, "agent_id")
        if agent_id is None:
            return 422, {
                "detail": [{"loc": ["query", "agent_id"], "msg": "Field required", "type": "missing"}]
            }
        return 200, {"signed_url": self.sign(agent_id)}

    def _converse(self, stream: WebSocketStream, request: Request) -> None:
        with self._changed:
            number = len(self._connections)
            connection = self.connection_class(
                number,
                request.path,
                request.headers,
                stream,
                output_format=self.output_format,
                input_format=self.input_format,
                record_limit=self.record_limit,
            )
            self._connections.append(connection)
            self._requests.append(HttpRequest(request.path, request.headers, None))
            self._changed.notify_all()
        try:
            steps = self._steps(number)
        except Exception as error:
            connection.fail(f"the script function raised {error!r}")
            steps = ()
        connection.serve(request, self.opening_steps if self.opening else (), steps)

    def _steps(self, number: int) -> Sequence[StepLike]:
        if callable(self.script):
            return self.script(number)
        if self.script and isinstance(self.script[0], list | tuple):
            return cast("Sequence[StepLike]", self.script[min(number, len(self.script) - 1)])
        return cast("Sequence[StepLike]", self.script)
