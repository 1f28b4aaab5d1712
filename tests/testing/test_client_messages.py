from __future__ import annotations

import pytest

from convsm.testing import Expect
from tests.testing.loopback_clients import (  # noqa: F401 (a fixture)
    conversation,
    no_thread_is_left,
)


@pytest.mark.parametrize(
    ("frame", "fault"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        (b"{}", "binary frame"),
        ("{}", "the type None is unknown"),
        ('{"type": "ping"}', "the type 'ping' is unknown"),
        ('{"type": "pong"}', "pong lacks event_id"),
        ('{"type": "client_tool_result", "tool_call_id": "a", "result": {}}', "result of client_tool_result"),
        ('{"user_audio_chunk": 1}', "base64"),
        ('{"user_audio_chunk": "A"}', "base64"),
    ],
)
def test_a_malformed_frame_of_the_client_is_a_failure(frame, fault):
    with conversation([]) as (connection, client):
        client.connection.send(frame)
        client.send(type="user_activity")
        connection.wait_for("user_activity")
        [failure] = connection.failures
        connection.failures.clear()
    assert fault in failure


def test_recording_is_bounded_and_says_so():
    with conversation([Expect("user_message", count=3, timeout=60)], record_limit=3) as (connection, client):
        for _ in range(5):
            client.send(type="user_message", text="again")
        client.connection.close()
        assert connection.closed.wait(5)
        assert len(connection.received) == 3
        assert [failure for failure in connection.failures if "record_limit" in failure]
        connection.failures.clear()
