"""The sound card for the tests beside it."""

from tests.audio.sound_card import _sound_card_of_this_run, sound_card

__all__ = ["_sound_card_of_this_run", "sound_card"]
