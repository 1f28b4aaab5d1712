"""Codecs: wire frame to events, message to wire frame. Pure; one file a vendor."""
