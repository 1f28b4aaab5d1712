"""The settings of turn handling: names, units and defaults of the reference page, each value checked.

All times are in seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

import attrs

from convsm.errors import ConfigurationError
from convsm.turns.detection import TurnDetector

__all__ = ["Endpointing", "Interruption", "TurnHandling", "UserTurnLimit"]

T = TypeVar("T", bound=attrs.AttrsInstance)
Check = Callable[[Any, "attrs.Attribute[Any]", Any], None]

_MODES = ("server", "realtime_llm", "vad", "stt", "manual")


def _number(low: float, high: float = math.inf, *, or_none: bool = False, above: bool = False) -> Check:
    def check(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if value is None and or_none:
            return
        is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or value > high or value < low or (above and value == low):
            bound = f"above {low:g}" if above else f"of at least {low:g}"
            bound += f" and at most {high:g}" if math.isfinite(high) else ""
            raise _error(owner, field, f"a number {bound}{' or None' if or_none else ''}", value)

    return check


def _count(low: int, *, or_none: bool = False) -> Check:
    def check(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if value is None and or_none:
            return
        if not isinstance(value, int) or isinstance(value, bool) or value < low:
            raise _error(
                owner, field, f"a whole number of at least {low}{' or None' if or_none else ''}", value
            )

    return check


def _flag(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        raise _error(owner, field, "True or False", value)


def _choice(*values: object) -> Check:
    def check(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if not any(type(value) is type(allowed) and value == allowed for allowed in values):
            raise _error(owner, field, f"one of {', '.join(map(repr, values))}", value)

    return check


def _error(owner: Any, field: attrs.Attribute[Any], wanted: str, value: object) -> ConfigurationError:
    return ConfigurationError(f"{_SECTIONS.get(type(owner), '')}{field.name} must be {wanted}, not {value!r}")


@attrs.frozen(kw_only=True)
class Endpointing:
    """When a turn that this side ends counts as over.

    Attributes:
        mode: ``fixed``: the delays are constants. ``dynamic``: ``min_delay`` is learned from the pauses
            that the user makes, between ``min_delay`` and ``max_delay``.
        min_delay: Wait after the last speech before the turn is committed; at least 0.
        max_delay: Wait instead if a turn detector takes the end of the turn for unlikely; at least 0.
            A ``min_delay`` above it counts as equal in dynamic mode.
        alpha: How much of what was learned a new pause leaves in place; above 0 and at most 1, where
            nothing is learned.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    mode: Literal["fixed", "dynamic"] = attrs.field(default="fixed", validator=_choice("fixed", "dynamic"))
    min_delay: float = attrs.field(default=0.5, validator=_number(0))
    max_delay: float = attrs.field(default=3.0, validator=_number(0))
    alpha: float = attrs.field(default=0.9, validator=_number(0, 1, above=True))


def _boundary(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return (value, value)
    return tuple(value) if isinstance(value, list) else value


def _check_boundary(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    is_pair = isinstance(value, tuple) and len(value) == 2
    if not is_pair or not all(
        isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) and one >= 0
        for one in value
    ):
        raise _error(owner, field, "a number of at least 0, a pair of them, or None", value)


@attrs.frozen(kw_only=True)
class Interruption:
    """What local speech does to an agent that is speaking.

    Attributes:
        enabled: Whether local speech interrupts. The server may interrupt all the same, unless
            ``discard_audio_if_uninterruptible`` keeps it from hearing the user.
        mode: ``adaptive``: a classifier tells backchannels from interruptions. ``vad``: every speech
            that is long enough interrupts. None: adaptive if there is a classifier.
        min_duration: Speech needed before the agent is silenced; at least 0.
        min_words: Words needed to confirm an interruption, counted anew for each overlap; at least 0.
            0: any word does.
        false_interruption_timeout: Silence without a word after which an interruption was a false one,
            at least 0. None: playout never pauses, every interruption is final.
        resume_false_interruption: Whether a false interruption resumes the agent. False: playout
            never pauses, every interruption is final.
        discard_audio_if_uninterruptible: While the agent may not be interrupted the server hears
            silence instead of the user.
        backchannel_boundary: Adaptive mode: for how long after the agent begins a backchannel still
            counts as an interruption, and how long before it ends a backchannel's words are kept.
            One number stands for both; each at least 0. None: neither.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    enabled: bool = attrs.field(default=True, validator=_flag)
    mode: Literal["adaptive", "vad"] | None = attrs.field(
        default=None, validator=_choice("adaptive", "vad", None)
    )
    min_duration: float = attrs.field(default=0.5, validator=_number(0))
    min_words: int = attrs.field(default=0, validator=_count(0))
    false_interruption_timeout: float | None = attrs.field(default=2.0, validator=_number(0, or_none=True))
    resume_false_interruption: bool = attrs.field(default=True, validator=_flag)
    discard_audio_if_uninterruptible: bool = attrs.field(default=True, validator=_flag)
    backchannel_boundary: tuple[float, float] | None = attrs.field(
        default=(1.0, 1.0), converter=_boundary, validator=_check_boundary
    )


@attrs.frozen(kw_only=True)
class UserTurnLimit:
    """How much the user may say before the agent has spoken.

    Attributes:
        max_words: Words of final transcripts, at least 1; None for any number.
        max_duration: Time since the user began, above 0; a timer, so words are not needed. None for
            any time.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    max_words: int | None = attrs.field(default=None, validator=_count(1, or_none=True))
    max_duration: float | None = attrs.field(default=None, validator=_number(0, or_none=True, above=True))


def _detection(value: Any) -> Any:
    return "server" if value == "realtime_llm" else value


def _check_detection(owner: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value not in _MODES and not isinstance(value, TurnDetector):
        raise _error(owner, field, f"one of {', '.join(map(repr, _MODES))} or a TurnDetector", value)


def _default_endpointing(handling: TurnHandling) -> Endpointing:
    # A detector that listens to the sound hears an end sooner.
    return Endpointing(min_delay=0.3, max_delay=2.5) if handling.is_streaming else Endpointing()


@attrs.frozen(kw_only=True)
class TurnHandling:
    """Who has the floor, when a turn ends, and what an interruption means.

    Attributes:
        turn_detection: Who says that the user's turn is over. ``server`` (also ``realtime_llm``): the
            server. ``vad``: this side, after local speech has ended. ``stt``: this side, after the
            server's speech recognition says that speech has ended. ``manual``: the program, by its
            calls. A ``TurnDetector``: this side, with its help.
        endpointing: When a turn that this side ends is over. Left out, a streaming detector has
            shorter delays: 0.3 and 2.5.
        interruption: What local speech does to an agent that is speaking.
        user_turn_limit: How much the user may say.
        aec_warmup_duration: For how long after the agent first speaks local speech does not interrupt,
            while echo cancellation settles; at least 0. None: not at all.
        user_away_timeout: Silence on both sides after which the user is away; above 0. None: never.
        transcription_timeout: How long after speech ended its transcript may take before that is
            reported; above 0. None: never.
        pre_roll: How much of what the microphone heard before a push-to-talk turn belongs to
            it; at least 0 and at most 10.

    Raises:
        ConfigurationError: A value is out of its range.
    """

    turn_detection: str | TurnDetector = attrs.field(
        default="server", converter=_detection, validator=_check_detection
    )
    endpointing: Endpointing = attrs.field(
        default=attrs.Factory(_default_endpointing, takes_self=True),
        validator=attrs.validators.instance_of(Endpointing),
    )
    interruption: Interruption = attrs.field(
        factory=Interruption, validator=attrs.validators.instance_of(Interruption)
    )
    user_turn_limit: UserTurnLimit = attrs.field(
        factory=UserTurnLimit, validator=attrs.validators.instance_of(UserTurnLimit)
    )
    aec_warmup_duration: float | None = attrs.field(default=3.0, validator=_number(0, or_none=True))
    user_away_timeout: float | None = attrs.field(
        default=15.0, validator=_number(0, or_none=True, above=True)
    )
    transcription_timeout: float | None = attrs.field(
        default=None, validator=_number(0, or_none=True, above=True)
    )
    pre_roll: float = attrs.field(default=0.5, validator=_number(0, 10))

    @property
    def detector(self) -> TurnDetector | None:
        """The detector, if ``turn_detection`` is one."""
        return self.turn_detection if isinstance(self.turn_detection, TurnDetector) else None

    @property
    def is_streaming(self) -> bool:
        """Whether the detector listens to the sound, not to the words."""
        detector = self.detector
        return detector is not None and detector.is_streaming

    @property
    def is_manual(self) -> bool:
        """Whether the program alone begins and ends turns."""
        return self.turn_detection == "manual"

    @property
    def is_servers(self) -> bool:
        """Whether the server ends turns."""
        return self.turn_detection == "server"

    @classmethod
    def of(
        cls, settings: TurnHandling | Mapping[str, Any] | None = None, base: TurnHandling | None = None
    ) -> TurnHandling:
        """Make settings out of a mapping, whose parts may be mappings too.

        Args:
            settings: What is to differ from ``base``, by name; each part only as far as it is named.
                An instance is taken as it is; None changes nothing.
            base: What holds for all that is not named; None for the defaults.

        Returns:
            The settings.

        Raises:
            ConfigurationError: A name is unknown, or a value is out of its range.
        """
        if isinstance(settings, cls):
            return settings
        given = _named(cls, settings or {}, "")
        start = base or cls()
        detection = given.get("turn_detection", start.turn_detection)
        # Which delays are the defaults depends on the detector that comes out of it.
        bare = cls(turn_detection=detection)
        parts: dict[str, type[Any]] = {
            "endpointing": Endpointing,
            "interruption": Interruption,
            "user_turn_limit": UserTurnLimit,
        }
        if base is None:
            start = bare
        elif "turn_detection" in given:
            start = attrs.evolve(start, turn_detection=detection, endpointing=_moved(start, bare))
        for name, kind in parts.items():
            if name in given and not isinstance(given[name], kind):
                given[name] = attrs.evolve(getattr(start, name), **_named(kind, given[name], f"{name}."))
        return attrs.evolve(start, **given)


_SECTIONS: dict[type, str] = {
    Endpointing: "endpointing.",
    Interruption: "interruption.",
    UserTurnLimit: "user_turn_limit.",
}


def _moved(start: TurnHandling, bare: TurnHandling) -> Endpointing:
    """Return delays for another detector: those that were the former one's defaults become its own."""
    former = _default_endpointing(start)
    changes = {
        name: getattr(bare.endpointing, name)
        for name in ("min_delay", "max_delay")
        if getattr(start.endpointing, name) == getattr(former, name)
    }
    return attrs.evolve(start.endpointing, **changes)


def _named(kind: type[T], settings: object, section: str) -> dict[str, Any]:
    if not isinstance(settings, Mapping):
        name = section.rstrip(".") or "turn_handling"
        raise ConfigurationError(f"{name} must be a mapping or {kind.__name__}, not {settings!r}")
    known = [field.name for field in attrs.fields(kind)]
    unknown = [str(name) for name in settings if name not in known]
    if unknown:
        names = ", ".join(section + name for name in unknown)
        raise ConfigurationError(f"there is no setting {names}; known: {', '.join(known)}")
    return dict(settings)
