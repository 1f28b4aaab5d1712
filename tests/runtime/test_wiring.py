from __future__ import annotations

from convsm import DisconnectionDetails
from convsm.machine.effects import AnnounceEnd


def test_details_carry_a_message_for_errors_only():
    end = AnnounceEnd("agent", "the agent ended the conversation", 1000, "bye", True)
    assert DisconnectionDetails.of(end) == DisconnectionDetails("agent", 1000, "bye", None)
    end = AnnounceEnd("error", "the connection was closed", 1008, "bad override", True)
    assert DisconnectionDetails.of(end) == DisconnectionDetails(
        "error", 1008, "bad override", "the connection was closed"
    )
