"""Transports: sockets that know nothing but how to post events."""
