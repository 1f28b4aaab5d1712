"""What only ThreadedTransport can get wrong: its threads."""

from __future__ import annotations

import threading

import pytest

from convsm.machine.events import ConnectionFailed
from convsm.testing import Close, LoopbackAgent
from tests.transport.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    Inbox,
    make_transport,
    nothing_is_left,
)

GIVEN_UP = ConnectionFailed("the attempt to connect was given up")


def test_joining_from_inside_an_event_does_not_wait_for_itself():
    inbox, joined = Inbox(), []
    with LoopbackAgent([Close()], opening=False) as agent:
        transport, _ = make_transport(agent.url, inbox)
        inbox.on_event = lambda event: joined.append(transport.join(0.01))
        transport.open()
        inbox.wait_for_end()
        assert transport.join(PATIENCE)
    assert joined == [False, False]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_writer_that_cannot_start_is_a_failed_connection():
    def start():
        raise RuntimeError("can't start new thread")

    with LoopbackAgent(opening=False) as agent:
        transport, inbox = make_transport(agent.url)
        transport._writer.start = start
        transport.open()
        assert inbox.wait_for_end() == GIVEN_UP
        assert transport.join(PATIENCE)
        inbox.check_contract()


def test_closing_between_handshake_and_opening_opens_nothing():
    deciding = threading.Event()
    with LoopbackAgent(opening=False) as agent:

        def resolve():
            assert deciding.wait(PATIENCE)
            return agent.url

        transport, inbox = make_transport(resolve)
        finish = transport._finish

        def let_the_reader_go_first(event):
            # close() found nothing open and is about to give up; now the server accepts.
            if threading.current_thread() is threading.main_thread():
                deciding.set()
                assert transport.join(PATIENCE)
            finish(event)

        transport._finish = let_the_reader_go_first
        transport.open()
        transport.close(1000)
        assert inbox.events == [GIVEN_UP]
