"""What is counted of a conversation."""

from __future__ import annotations

from convsm.live.observing import CountingCodec, Traffic
from convsm.machine.effects import Pong
from convsm.machine.events import Pinged
from convsm.protocols.elevenlabs import ElevenLabsCodec


def test_a_counting_codec_translates_and_counts_every_frame():
    codec, traffic = ElevenLabsCodec([b'{"type":"first"}']), Traffic()
    counting = CountingCodec(codec, traffic)
    frame = b'{"type":"ping","ping_event":{"event_id":7}}'
    assert counting.decode(frame) == codec.decode(frame) == (Pinged(7),)
    sent = [*counting.opening(), counting.encode(Pong(7)), counting.encode_audio(b"\1\0")]
    assert sent == [*codec.opening(), codec.encode(Pong(7)), codec.encode_audio(b"\1\0")]
    assert traffic == Traffic(1, len(frame), 3, sum(map(len, sent)))
