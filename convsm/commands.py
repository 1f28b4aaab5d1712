"""What the commands of the command line do. Each imports what it needs, when it runs."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convsm.diagram import Automaton
    from convsm.runtime.openai import OpenAIRealtime

__all__ = ["demo", "devices", "diagram", "inspect", "replay", "talk"]

# What a replay says that was not as hoped.
DIFFERENT = 1


def demo(arguments: argparse.Namespace) -> int:
    """Hold the spoken conversation with the loopback agent; return the exit code, as all of them do."""
    from convsm.demo import ELEVENLABS, OPENAI, Demo

    card = None
    if arguments.audio:
        from convsm.live.audio import ObservedCard

        card = ObservedCard()
    dialect = OPENAI if arguments.openai else ELEVENLABS
    demo = Demo(arguments.input, arguments.out, arguments.record, arguments.fast, card, dialect)
    return demo.run(sys.stdout)


def talk(arguments: argparse.Namespace) -> int:
    """Talk to an agent of a service."""
    _check_service(arguments)
    from convsm.errors import ConfigurationError
    from convsm.live.audio import ObservedCard
    from convsm.live.talk import Talk

    if arguments.out is not None and arguments.input is None:
        raise ConfigurationError("--out does without the sound card, so it needs --input FILE to speak.")
    if arguments.signed and not os.environ.get("ELEVENLABS_API_KEY"):
        raise ConfigurationError("--signed needs your API key in the environment: set ELEVENLABS_API_KEY.")
    card = ObservedCard(
        input_device=_device(arguments.input_device),
        output_device=_device(arguments.output_device),
        volume=arguments.volume,
        echo_cancellation=arguments.echo_cancellation,
        noise_suppression=arguments.noise_suppression,
    )
    return Talk(
        agent_id=arguments.agent_id,
        is_signed=arguments.signed,
        base_url=None if arguments.openai else arguments.base_url,
        server=_server(arguments) if arguments.openai else None,
        input=arguments.input,
        output=arguments.out,
        record=arguments.record,
        card=card,
        is_push_to_talk=arguments.push_to_talk,
        barges_in=arguments.barge_in,
        has_echo_cancellation=arguments.echo_cancellation,
    ).run(sys.stdout)


def _check_service(arguments: argparse.Namespace) -> None:
    others = ("signed",) if arguments.openai else ("model", "instructions", "voice")
    chosen, wanted = ("--openai", "--agent-id") if arguments.openai else ("--agent-id", "--openai")
    for option in others:
        if getattr(arguments, option) not in (None, False):
            arguments.refuse(f"argument --{option}: not allowed with {chosen}; it goes with {wanted}")


def _server(arguments: argparse.Namespace) -> OpenAIRealtime:
    from convsm.protocols.openai_options import RealtimeOptions
    from convsm.runtime.openai import OpenAIRealtime

    # What is not given has its default there.
    places = {"model": arguments.model, "base_url": arguments.base_url}
    return OpenAIRealtime(
        RealtimeOptions(arguments.instructions, voice=arguments.voice),
        **{name: value for name, value in places.items() if value is not None},
    )


def _device(text: str | None) -> int | str | None:
    # isdecimal() also knows digits that int() does not; PortAudio's names are never just a number.
    return int(text) if text is not None and text.isascii() and text.isdecimal() else text


def devices(arguments: argparse.Namespace) -> int:
    """List microphones and loudspeakers."""
    from convsm.audio.portaudio import devices
    from convsm.live.devices import as_json, as_table

    found = devices()
    sys.stdout.write(as_json(found) if arguments.json else as_table(found))
    return 0


def diagram(arguments: argparse.Namespace) -> int:
    """Draw a table."""
    from convsm import diagram

    draw = {
        "mermaid": diagram.mermaid,
        "dot": diagram.dot,
        "svg": diagram.svg,
        "matrix": diagram.matrix,
    }[arguments.format]
    text = draw(_automaton(arguments))
    if arguments.out is None:
        sys.stdout.write(text)
        return 0
    try:
        # The same bytes on every system.
        with open(arguments.out, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        from convsm.errors import ConfigurationError

        raise ConfigurationError(
            f"--out {arguments.out} cannot be written ({error.strerror}); name another file."
        ) from None
    return 0


def inspect(arguments: argparse.Namespace) -> int:
    """Print rows of a table."""
    from convsm import diagram

    sys.stdout.write(diagram.inspect(arguments.name, _automaton(arguments)))
    return 0


def _automaton(arguments: argparse.Namespace) -> Automaton:
    from convsm.diagram import CONVERSATION

    if not arguments.turns:
        return CONVERSATION
    from convsm.diagram.turns import TURNS

    return TURNS


def replay(arguments: argparse.Namespace) -> int:
    """Compare a recording with a fresh machine."""
    from convsm.recording import replay

    try:
        report = replay(arguments.file)
    except OSError as error:
        from convsm.errors import ConfigurationError

        raise ConfigurationError(
            f"{arguments.file} cannot be read ({error.strerror}); name a recording."
        ) from None
    print(report.text())
    return 0 if report.is_equal else DIFFERENT
