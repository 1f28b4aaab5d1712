"""The version of convsm, the one place that states it."""

VERSION = "0.4.0"
