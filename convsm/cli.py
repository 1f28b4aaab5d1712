"""The command line: its commands and their options."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper

from convsm import commands
from convsm.version import VERSION

__all__ = ["main"]

UNUSABLE = 2
# What a shell reports of a program that Ctrl-C ended: 128 and the number of SIGINT.
ENDED_BY_USER = 130
# Python's own advice for a reader that has gone.
READER_GONE = 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None takes those of the process.

    Returns:
        Exit code: 0 as hoped, 1 if a demo, a talk or a replay was not, 2 if something cannot be used,
        130 after Ctrl-C.

    Raises:
        SystemExit: From argparse, for ``--help``, ``--version`` (0) and wrong usage (2).
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command is None:
        parser.print_help(sys.stderr)
        return UNUSABLE
    from convsm.errors import ConvsmError

    if isinstance(sys.stdout, TextIOWrapper):
        # What an old console cannot write is not worth a traceback.
        sys.stdout.reconfigure(errors="replace")
    try:
        code: int = arguments.command(arguments)
        sys.stdout.flush()
    except ConvsmError as error:
        print(f"convsm: {error}", file=sys.stderr)
        return UNUSABLE
    except KeyboardInterrupt:
        return ENDED_BY_USER
    except BrokenPipeError:
        # Else the interpreter flushes once more at its end, and complains.
        with suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        return READER_GONE
    except OSError as error:
        print(f"convsm: the system reports: {error.strerror or error}.", file=sys.stderr)
        return UNUSABLE
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convsm",
        description="The state machine behind a real-time voice conversation with an AI agent.",
        epilog="convsm COMMAND --help tells the options of a command.",
    )
    parser.add_argument("--version", action="version", version=f"convsm {VERSION}")
    parser.set_defaults(command=None)
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands")

    demo = _command(
        subparsers,
        "demo",
        commands.demo,
        "hold a spoken conversation with an agent on this machine, and watch the states",
        "A recorded voice talks to a scripted agent over a real WebSocket on this machine, in about 20 "
        "seconds: the agent greets, waits while the user coughs and goes on, answers, is interrupted in "
        "mid-sentence, calls a tool, takes leave. "
        "It needs no key, no network and, without --audio, no sound card. "
        "The exit code is 0 only if the whole script was seen.",
    )
    demo.add_argument(
        "--input",
        metavar="FILE",
        help="your words instead of the recorded voice: a WAV file, 16-bit mono; the agent takes its "
        "first half as a question, the second as an interruption",
    )
    demo.add_argument("--out", metavar="FILE", help="write what was heard of the agent to a WAV file")
    demo.add_argument("--record", metavar="FILE", help="record the session, for convsm replay FILE")
    demo.add_argument(
        "--audio",
        action="store_true",
        help="talk to the agent yourself, through the sound card",
    )
    demo.add_argument(
        "--openai", action="store_true", help="in the OpenAI Realtime protocol instead of that of ElevenLabs"
    )
    demo.add_argument("--fast", action="store_true", help="four times as fast, with chirping voices")

    _add_talk(subparsers)

    devices = _command(
        subparsers,
        "devices",
        commands.devices,
        "list microphones and loudspeakers",
        "List the microphones and loudspeakers that PortAudio finds, with the number and the name to choose "
        "them by.",
    )
    devices.add_argument("--json", action="store_true", help="as JSON, for scripts")

    diagram = _command(
        subparsers,
        "diagram",
        commands.diagram,
        "draw the state machine",
        "Draw the state machine from the rows of its table.",
    )
    diagram.add_argument(
        "--format",
        choices=("mermaid", "dot", "svg", "matrix"),
        default="mermaid",
        help="a Mermaid diagram (the default), Graphviz's dot, an SVG picture (needs Graphviz), or a "
        "Markdown matrix of states and events with guards, effects and reasons",
    )
    diagram.add_argument("--out", metavar="FILE", help="write to a file instead of standard output")
    _add_turns(diagram)

    inspect = _command(
        subparsers,
        "inspect",
        commands.inspect,
        "print the rows of the table with their reasons",
        "Print the rows of the table that concern a state or an event, with guards, effects and reasons.",
    )
    inspect.add_argument(
        "name", nargs="?", metavar="STATE|EVENT", help="such as interrupted, or AgentAudio; without it, all"
    )
    _add_turns(inspect)

    replay = _command(
        subparsers,
        "replay",
        commands.replay,
        "feed a recording to a fresh machine and compare",
        "Feed the events of a recording to a fresh machine and compare the effects. The exit code is 0 if "
        "all are equal, 1 if some differ, 2 if the file is no recording.",
    )
    replay.add_argument("file", metavar="FILE", help="what convsm demo --record, or record=…, wrote")
    return parser


def _add_turns(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--turns",
        action="store_true",
        help="the table of the user and their turn, which sees each event first",
    )


def _add_talk(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    talk = _command(
        subparsers,
        "talk",
        commands.talk,
        "talk to an agent of a service, through the sound card",
        "Talk to an agent of ElevenLabs, or to an OpenAI Realtime server, through the sound card, and watch "
        "the states. Keys: m mutes and unmutes you, space interrupts the agent, q or Ctrl-C ends the "
        "conversation. With --push-to-talk space begins your turn, and ends it when pressed again, or when "
        "let go after it was held down; c or backspace gives the turn up. Use a headset, or "
        "--echo-cancellation: else the agent hears itself. The API key is taken from the environment: "
        "ELEVENLABS_API_KEY, which a public agent does not need, or OPENAI_API_KEY, which a server on this "
        "machine does not need.",
    )
    whom = talk.add_mutually_exclusive_group(required=True)
    whom.add_argument("--agent-id", metavar="ID", help="id of an agent at ElevenLabs")
    whom.add_argument(
        "--openai", action="store_true", help="an OpenAI Realtime server, which waits for you to begin"
    )
    talk.add_argument(
        "--signed",
        action="store_true",
        help="with --agent-id: ask for a signed URL with the API key; private agents need it",
    )
    talk.add_argument("--model", metavar="NAME", help="with --openai: the model")
    talk.add_argument(
        "--instructions", metavar="TEXT", help="with --openai: what the agent is told to be and do"
    )
    talk.add_argument("--voice", metavar="NAME", help="with --openai: the voice")
    talk.add_argument(
        "--base-url",
        metavar="URL",
        help="where the API is, if not at the service's own; many servers speak OpenAI Realtime",
    )
    talk.set_defaults(refuse=talk.error)
    talk.add_argument(
        "--input",
        metavar="FILE",
        help="speak a WAV file, 16-bit mono, in the place of the microphone; the agent is heard on the "
        "loudspeaker all the same",
    )
    talk.add_argument(
        "--out",
        metavar="FILE",
        help="with --input: write what was heard of the agent to a WAV file, and use no sound card",
    )
    for kind, noun in (("input", "microphone"), ("output", "loudspeaker")):
        talk.add_argument(
            f"--{kind}-device",
            metavar="DEVICE",
            help=f"{noun}: number or words of the name; see convsm devices",
        )
    talk.add_argument(
        "--volume",
        metavar="N",
        type=float,
        default=1.0,
        help="loudness of the agent, from 0 to 1 (the default)",
    )
    talk.add_argument(
        "--echo-cancellation",
        action="store_true",
        help="take the agent's voice out of what the microphone hears; needs the extra convsm[aec]",
    )
    talk.add_argument(
        "--noise-suppression",
        action="store_true",
        help="take steady noise out of what the microphone hears; needs the extra convsm[aec]",
    )
    floor = talk.add_mutually_exclusive_group()
    floor.add_argument(
        "--push-to-talk",
        action="store_true",
        help="the agent hears you only between two presses of space, or while you hold it down",
    )
    floor.add_argument(
        "--barge-in",
        action=argparse.BooleanOptionalAction,
        help="hear you on this machine: your voice pauses the agent at once, and a mere noise lets it go on; "
        "needs the extra convsm[vad]. Through the sound card it is so wherever that is installed",
    )
    talk.add_argument("--record", metavar="FILE", help="record the session, for convsm replay FILE")


def _command(
    subparsers: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: object,
    summary: str,
    description: str,
) -> argparse.ArgumentParser:
    parser = subparsers.add_parser(name, help=summary, description=description)
    parser.set_defaults(command=run)
    return parser
