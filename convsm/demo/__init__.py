"""The demo: a spoken conversation with a scripted agent, over a real WebSocket, without key or sound card."""

from convsm.demo.dialects import ELEVENLABS, OPENAI, Dialect
from convsm.demo.performance import Demo

__all__ = ["ELEVENLABS", "OPENAI", "Demo", "Dialect"]
