"""The script of the demo, without playing it."""

from __future__ import annotations

import math
from array import array

from hypothesis import given, settings
from hypothesis import strategies as st

from convsm.demo.dialects import OPENAI
from convsm.demo.scene import compose
from convsm.demo.speech import LINES, Sound, cough, load_line
from convsm.machine import SessionOptions
from convsm.testing import Expect, Interrupt, Pause, Say, UserSaid, openai_script

# From the first sample to the farewell's last, with the tool; the promise is half a minute.
LONGEST = 25.0

recordings = st.builds(
    lambda seconds, rate: Sound(b"\x01\x00" * round(seconds * rate), rate),
    st.floats(0.01, 20.0),
    st.sampled_from([8000, 16000, 48000]),
)


def position(scene, step):
    return next(index for index, other in enumerate(scene.steps) if other is step)


def heard_between(scene, first, last):
    """Return how much of the microphone the agent hears between two steps."""
    steps = scene.steps[position(scene, first) : position(scene, last)]
    return sum(step.seconds for step in steps if isinstance(step, Expect) and step.seconds is not None)


def length(scene):
    """Return how long the whole takes at most, in seconds."""
    pauses = sum(step.seconds for step in scene.steps if isinstance(step, Pause))
    farewell = [step for step in scene.steps if isinstance(step, Say)][-1]
    return scene.ear_seconds + pauses + scene.tool_seconds + Sound(farewell.audio or b"").seconds


def find(scene, kind, number=0):
    return [step for step in scene.steps if isinstance(step, kind)][number]


def assert_sound(scene, speed):
    interrupt = find(scene, Interrupt)
    answer = find(scene, Say, 1)
    cut_after = heard_between(scene, answer, interrupt)
    assert 0.5 / speed < cut_after < len(answer.audio) / (2 * 16000), "the answer is cut in its middle"
    to_transcript = heard_between(scene, interrupt, find(scene, UserSaid, 1))
    assert to_transcript < SessionOptions().settle_seconds - 0.2, "the transcript ends the interruption"
    assert length(scene) < LONGEST / speed
    (corrected,) = scene.corrections
    assert LINES["answer"].text.startswith(corrected.removesuffix("..."))
    assert scene.microphone.rate == scene.input_format.rate


@given(recording=recordings, speed=st.sampled_from([1, 4]))
@settings(max_examples=30)
def test_with_any_recording_the_answer_is_cut_and_the_whole_stays_short(recording, speed):
    assert_sound(compose(recording, speed), speed)


def test_with_the_shipped_voice_the_answer_is_cut_and_the_whole_stays_short():
    for speed in (1, 4):
        assert_sound(compose(speed=speed), speed)
    assert length(compose()) > 12


def test_the_microphone_hears_all_that_the_user_says_after_the_greeting():
    scene = compose()
    assert scene.microphone is not None
    pcm = scene.microphone.pcm
    question, words = load_line("question").pcm, load_line("interruption").pcm
    start = pcm.index(question)
    assert start / 32000 > load_line("greeting").seconds
    assert pcm.index(words) > start + len(question)
    assert pcm.endswith(words)


@given(recording=st.none() | recordings, speed=st.sampled_from([1, 4]))
@settings(max_examples=10)
def test_the_user_coughs_into_the_greeting_and_says_nothing_before_it_has_ended(recording, speed):
    scene = compose(recording, speed)
    assert scene.microphone is not None
    greeting, noise = load_line("greeting").seconds / speed, cough().seconds
    coughs = first_sound(scene.microphone)
    assert 0.2 < coughs < greeting - noise
    interruption = scene.turn_handling.interruption
    assert interruption.min_duration < noise / 2
    assert interruption.false_interruption_timeout is not None
    held = noise + scene.voice_settings.min_silence_duration + interruption.false_interruption_timeout
    # The pause begins a little behind the cough's own beginning.
    assert first_sound(scene.microphone, coughs + noise) > greeting + held - 0.001


def first_sound(sound, after=0.0):
    """Return when silence ends, in seconds from the first sample."""
    begin = math.ceil(after * sound.rate)
    samples = array("h", sound.pcm)[begin:]
    return (begin + next(index for index, sample in enumerate(samples) if sample)) / sound.rate


def test_transcripts_of_a_recording_tell_how_much_was_heard():
    scene = compose(Sound(bytes(2 * 16000 * 6)))
    assert scene.tentative == ("[1.5 s heard so far]",)
    assert scene.transcripts == ("[3.0 s heard]", "[4.0 s more heard]")


def test_with_a_person_at_the_microphone_the_script_is_the_same_and_claims_no_words():
    for speed in (1, 4):
        scene, shipped = compose(speed=speed, is_present=True), compose(speed=speed)
        assert scene.microphone is None
        assert scene.ear_seconds == shipped.ear_seconds
        assert scene.responses == shipped.responses
        assert all(text.startswith("[") for text in (*scene.tentative, *scene.transcripts))


# The other protocol


def test_in_both_protocols_the_same_is_said_and_seen_at_the_same_time():
    for speed in (1, 4):
        theirs, ours = compose(speed=speed), compose(speed=speed, dialect=OPENAI)
        assert ours.responses == theirs.responses
        assert (ours.tentative, ours.transcripts) == (theirs.tentative, theirs.transcripts)
        assert abs(ours.ear_seconds - theirs.ear_seconds) < 0.01
        assert ours.tool_seconds == theirs.tool_seconds
        for said, other in zip(spoken(ours, openai_script.Say), spoken(theirs, Say), strict=True):
            assert abs(len(said) / 48000 - len(other) / 32000) < 0.001


def spoken(scene, kind):
    return [step.audio for step in scene.steps if isinstance(step, kind)]


def test_in_the_protocol_of_openai_the_answer_is_cut_in_its_middle():
    for speed in (1, 4):
        scene = compose(speed=speed, dialect=OPENAI)
        answer = find(scene, openai_script.Say, 1)
        cut_after = heard_between(scene, answer, find(scene, openai_script.Interrupt, 1))
        assert 0.5 / speed < cut_after < scene.cut_seconds
        assert scene.corrections == ()
        assert scene.pongs == ()


def test_in_the_protocol_of_openai_all_audio_is_at_its_rate():
    for recording in (None, Sound(bytes(16000 * 6), 8000)):
        scene = compose(recording, dialect=OPENAI)
        assert scene.microphone is not None
        assert scene.microphone.rate == 24000
        assert (scene.input_format.name, scene.output_format.name) == ("pcm_24000", "pcm_24000")
