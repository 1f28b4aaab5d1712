from __future__ import annotations

import pytest

from convsm.diagram import inspect
from convsm.diagram.model import CONVERSATION
from convsm.errors import ConfigurationError
from convsm.machine.events import EVENTS
from tests.diagram.helpers import DOOR


def flat(text: str) -> str:
    return " ".join(text.split())


def test_an_event_shows_its_rows_with_guards_effects_and_reasons():
    assert inspect("Push", DOOR) == (
        "Push - command (API call). Somebody pushes.\n"
        "\n"
        "  shut, ajar -> open\n"
        "      when is_unlocked and has_handle\n"
        "      do   greet, note_push\n"
        "      why  a guest\n"
        "\n"
        "  shut, ajar: stays\n"
        "      do   ring\n"
        "      why  locked | barred\n"
        "\n"
        "Refused in: open, gone\n"
    )


def test_a_state_shows_its_meaning_its_rows_and_what_it_refuses():
    assert inspect("open", DOOR) == (
        "open: everybody passes\n"
        "    on leaving: stop_fan\n"
        "\n"
        "Entered by: Push\n"
        "\n"
        "  Wind -> ajar\n"
        "      do   note_wind\n"
        "      why  a draught\n"
        "\n"
        "  Fire -> gone\n"
        "      do   scream, run_away\n"
        "      why  wood burns\n"
        "\n"
        "Refused: Push\n"
    )


def test_a_state_may_ignore_events_and_refuse_none():
    text = inspect("closing")

    assert "  SocketOpened: ignored\n" in text
    assert "Refused: " in text
    assert "Entered by" not in inspect("shut", DOOR)
    assert "Refused" not in inspect("End")


@pytest.mark.parametrize("name", [None, *EVENTS, *(state.name for state in CONVERSATION.states)])
def test_every_text_fits_a_terminal(name):
    text = inspect(name)

    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_everything_is_every_state_and_every_row():
    text = flat(inspect())

    for state in CONVERSATION.states:
        assert f"{state.name}: {state.meaning}" in text
    for row in CONVERSATION.rows:
        assert f"why {row.why}" in text
    assert " any state: ignored " in text


def test_case_matters_only_where_a_state_and_an_event_share_a_name():
    assert inspect("interrupted").startswith("interrupted: ")
    assert inspect("Interrupted").startswith("Interrupted - ")
    assert inspect("agentaudio") == inspect("AgentAudio")


def test_an_unknown_name_lists_the_known_ones_and_close_matches_first():
    with pytest.raises(ConfigurationError) as caught:
        inspect("listning")

    message = str(caught.value)
    assert message.index("did you mean listening") < message.index("States: ") < message.index("Events: ")
    assert all(name in message for name in EVENTS)


def test_an_unknown_name_without_close_matches_lists_the_known_ones():
    with pytest.raises(
        ConfigurationError, match=r"called 'xyzzy'; States: shut, open, ajar, gone\. Events: Push"
    ):
        inspect("xyzzy", DOOR)
