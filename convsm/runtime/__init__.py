"""The driver and what it drives: timers, tools, callbacks, Conversation."""
