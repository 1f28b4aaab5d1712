"""The live view: the last line with who is at it and how loud, and the keys."""

from __future__ import annotations

import math
import time
from contextlib import suppress

import attrs

from convsm.audio.level import Level
from convsm.errors import ConnectionFailed
from convsm.live.audio import Playout, WatchedAudio
from convsm.live.controls import Controls
from convsm.live.keys import Keys
from convsm.live.narrator import Narrator
from convsm.live.timeline import Timeline, bar
from convsm.runtime.conversation import Conversation

__all__ = ["KEYS", "View", "loudness"]

KEYS = Controls.help

# Ten pictures a second look alive.
FRAME_SECONDS = 0.1
# What is left of a meter that falls, from picture to picture: slow enough to be seen.
FALL = 0.7
# As soft as this, a meter shows nothing: the hiss of a good microphone in a quiet room.
FLOOR_DECIBELS = -60.0
# The only meter of a line.
WIDE_METER = 20
# Beside the one: " 12.3 of 12.3 s paused".
WIDE_TEXT = 22
# Around the two: "muted ", "  out ".
LABELS = 12


def loudness(level: Level) -> float:
    """Return how far a meter is to be out, from 0 to 1: in decibels, as the ear hears."""
    if level.rms <= 0:
        return 0.0
    return min(max(1 - 20 * math.log10(level.rms) / FLOOR_DECIBELS, 0.0), 1.0)


@attrs.define(eq=False)
class View:
    """Keeps the last line alive and does what the keys say, for one conversation; for one thread.

    Attributes:
        timeline: Where it is drawn.
        narrator: Knows the state and since when.
        audio: Knows what sounds.
        controls: Does what the keys say; left out, they mute and interrupt.
        has_quit: Whether the user ended the conversation by a key.
    """

    timeline: Timeline
    narrator: Narrator
    audio: WatchedAudio
    controls: Controls = attrs.field(
        default=attrs.Factory(lambda self: Controls(self.narrator, self.audio), takes_self=True)
    )
    has_quit: bool = attrs.field(default=False, init=False)
    _shown: dict[str, float] = attrs.field(factory=dict, init=False)

    def hold(self, conversation: Conversation, keys: Keys | None = None, limit: float = math.inf) -> None:
        """Start a conversation, watch it, end it, and wait for its end; see ``watch``.

        Raises:
            OSError: The lines could not be shown; the conversation was ended.
        """
        conversation.start_session()
        try:
            self.watch(conversation, keys, limit)
        finally:
            self.timeline.finish()
            conversation.end_session()
            # Why it ended is told by callback_disconnect, a failed connection included.
            with suppress(ConnectionFailed):
                conversation.wait_for_session_end()
        if self.timeline.fault is not None:
            raise self.timeline.fault

    def watch(self, conversation: Conversation, keys: Keys | None = None, limit: float = math.inf) -> None:
        """Return when the conversation is over, or is to be ended.

        That is: ``q`` was pressed, the lines cannot be shown any more, or it takes too long.

        Args:
            conversation: What the keys are for.
            keys: Where they come from; None takes none.
            limit: Seconds.
        """
        deadline = time.monotonic() + limit
        over = self.narrator.is_over
        while not over.is_set() and self.timeline.fault is None and time.monotonic() < deadline:
            pressed = "" if keys is None else keys.read(FRAME_SECONDS)
            if keys is None:
                over.wait(FRAME_SECONDS)
            for key in pressed.lower():
                if key == "q":
                    self.has_quit = True
                    return
                self.controls.press(key, time.monotonic(), conversation)
            if not over.is_set():
                now = time.monotonic()
                self.controls.attend(now, conversation)
                has_keys = keys is not None and keys.are_there
                remark = self.controls.remark(conversation)
                self.timeline.show(now, *self.activity(now, has_keys, remark))

    def activity(self, now: float, has_keys: bool = False, remark: str = "") -> tuple[str, str]:
        """Return what the last line shows: who is at it, and one meter or two.

        Args:
            now: Monotonic seconds.
            has_keys: Whether keys may be pressed.
            remark: What is to be known of the turn; shown where the agent is not heard.
        """
        playout = self.audio.clock.playout(now)
        latest = self.narrator.changes[-1] if self.narrator.changes else None
        is_tool = latest is not None and latest.target == "tool_running"
        is_heard = playout is not None and not playout.is_paused
        who = "agent" if is_heard else "tool" if is_tool else "user"
        voice = self._fallen("voice", loudness(self.audio.input_level))
        if self.audio.output_level is not None:
            speech = self._fallen("speech", loudness(self.audio.output_level))
            return who, self._two_meters(voice, speech, self._remark(playout, has_keys, remark))
        columns = min(WIDE_METER, self.timeline.room - WIDE_TEXT)
        if playout is not None and (is_heard or not remark):
            whole = playout.heard + playout.queued
            heard = "paused" if playout.is_paused else "heard"
            return who, f"{self._bar(playout.heard / whole, columns)} {_progress(playout)} {heard}"
        if is_tool and latest is not None:
            return who, f"runs for {now - latest.at:.1f} s"
        return who, f"{self._bar(voice, columns)} {'muted' if self.audio.muted else remark or 'microphone'}"

    def _two_meters(self, voice: float, speech: float, remark: str) -> str:
        columns = min(self.controls.meter_columns, (self.timeline.room - LABELS) // 2)
        label = "muted" if self.audio.muted else "mic  "
        meters = f"{label} {self._bar(voice, columns)}  out {self._bar(speech, columns)}"
        return (
            f"{meters}  {remark}".rstrip() if len(meters) + 2 + len(remark) <= self.timeline.room else meters
        )

    def _remark(self, playout: Playout | None, has_keys: bool, remark: str) -> str:
        if playout is not None and not playout.is_paused:
            return _progress(playout)
        if playout is not None:
            return remark or f"paused at {playout.heard:.1f}"
        return remark or (self.controls.short_help if has_keys else "")

    def _bar(self, fraction: float, columns: int) -> str:
        return bar(fraction, columns, self.timeline.glyphs)

    def _fallen(self, name: str, value: float) -> float:
        self._shown[name] = max(value, FALL * self._shown.get(name, 0.0))
        return self._shown[name]


def _progress(playout: Playout) -> str:
    return f"{playout.heard:.1f} of {playout.heard + playout.queued:.1f} s"
