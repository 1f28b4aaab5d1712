"""The future of a turn that was committed by hand, on threads."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = ["CommitFuture"]

logger = logging.getLogger("convsm.session")


class CommitFuture(concurrent.futures.Future[str]):
    """A future whose done callbacks run on threads of their own.

    Whoever settles it moves the session, and a callback of the user's must not hold that up.
    """

    def add_done_callback(self, fn: Callable[[concurrent.futures.Future[str]], Any]) -> None:
        """Have something called with this future once it is done; an exception of it is logged."""
        super().add_done_callback(partial(_call_aside, fn))


def _call_aside(
    call: Callable[[concurrent.futures.Future[str]], Any], future: concurrent.futures.Future[str]
) -> None:
    def run() -> None:
        try:
            call(future)
        except BaseException:
            # Even SystemExit: this thread is not the program.
            logger.exception("a done callback of commit_user_turn raised; the conversation goes on")

    try:
        threading.Thread(target=run, name="convsm-commit", daemon=True).start()
    except RuntimeError:  # no thread to be had, such as at the interpreter's exit
        run()
