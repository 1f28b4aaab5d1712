from __future__ import annotations

import errno
import selectors
import socket
import ssl
import threading
from contextlib import closing

import pytest

from convsm.transport.dial import Dial
from convsm.transport.secure import SecureSocket
from tests.transport.helpers import (  # noqa: F401 (a fixture)
    PATIENCE,
    client_context,
    free_port,
    in_thread,
    listener,
    nothing_is_left,
    port_that_does_not_answer,
    secure,
    server_context,
    wait_until,
)


def dial(port, scheme="ws", host="127.0.0.1", timeout=PATIENCE, context=None, by=None):
    return (by or Dial()).connect(f"{scheme}://{host}:{port}/path?token=secret", timeout, context)


def greet(sock):
    sock.sendall(b"hello")


@pytest.fixture
def resolve(monkeypatch):
    """Makes every host name resolve to the given (family, address) pairs; returns what was asked for."""
    asked = []

    def resolve(*addresses, error=None):
        def getaddrinfo(host, port, **_):
            asked.append((host, port))
            if error is not None:
                raise error
            return [(family, socket.SOCK_STREAM, 0, "", address) for family, address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return resolve


# Addresses


def test_a_reached_host_gives_a_socket_without_delay_and_with_its_time_limit():
    with listener(greet) as port, dial(port, timeout=3.5) as sock:
        assert sock.gettimeout() == 3.5
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.recv(5) == b"hello"


def test_a_port_where_nobody_listens_refuses():
    with pytest.raises(ConnectionRefusedError):
        dial(free_port())


def test_a_name_that_cannot_be_resolved_says_so(resolve):
    resolve(error=socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    with pytest.raises(socket.gaierror, match="not known"):
        dial(80, host="nowhere.invalid")


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
def test_a_name_that_cannot_exist_is_not_resolved_either(host):
    with pytest.raises(socket.gaierror, match="it is no host name"):
        dial(80, host=host)


def test_a_name_without_addresses_is_an_error(resolve):
    resolve()
    with pytest.raises(OSError, match="no address for nowhere"):
        dial(80, host="nowhere")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("ws://host/", ("host", 80)),
        ("wss://host/", ("host", 443)),
        ("wss://host:8443/", ("host", 8443)),
        ("ws://[::1]:81/", ("::1", 81)),
    ],
)
def test_host_and_port_are_those_of_the_url(resolve, url, expected):
    asked = resolve(error=socket.gaierror(1, "enough"))
    with pytest.raises(socket.gaierror):
        Dial().connect(url, PATIENCE)
    assert asked == [expected]


def test_all_addresses_are_tried_in_order(resolve):
    with listener(greet) as port:
        resolve(
            # Where IPv6 is switched off the socket cannot be made, else nobody listens there.
            (socket.AF_INET6, ("::1", free_port(), 0, 0)),
            (socket.AF_INET, ("127.0.0.1", free_port())),
            (socket.AF_INET, ("127.0.0.1", port)),
        )
        with dial(port, host="several") as sock:
            assert sock.getpeername() == ("127.0.0.1", port)


def test_a_family_that_the_system_lacks_is_passed_over(resolve):
    with listener(greet) as port:
        resolve((9999, ("?", 1)), (socket.AF_INET, ("127.0.0.1", port)))
        with dial(port, host="several") as sock:
            assert sock.recv(5) == b"hello"


def test_the_last_failure_is_the_one_that_is_told(resolve):
    resolve((9999, ("?", 1)), (socket.AF_INET, ("127.0.0.1", free_port())))
    with pytest.raises(ConnectionRefusedError):
        dial(80, host="several")


def test_an_address_that_does_not_answer_costs_the_time_limit_and_the_next_is_tried(resolve):
    with port_that_does_not_answer() as silent, listener(greet) as port:
        with pytest.raises(TimeoutError):
            dial(silent, timeout=0.05)
        resolve((socket.AF_INET, ("127.0.0.1", silent)), (socket.AF_INET, ("127.0.0.1", port)))
        with dial(port, host="several", timeout=0.05) as sock:
            assert sock.getpeername()[1] == port


def test_a_system_that_connects_at_once_is_not_waited_for(resolve):
    with listener(greet) as port:
        resolve((socket.AF_INET, ("127.0.0.1", port)))

        class Prompt(socket.socket):
            def connect_ex(self, address):
                self.setblocking(True)
                return super().connect_ex(address)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "socket", Prompt)
            sock = dial(port)
        with sock:
            assert sock.recv(5) == b"hello"


# Giving up


def test_an_attempt_that_was_given_up_before_connects_to_nothing():
    attempt = Dial()
    attempt.give_up()
    assert attempt.is_given_up
    with listener() as port, pytest.raises(ConnectionAbortedError):
        dial(port, by=attempt)


class Failure:
    """What a call in another thread raised."""

    def __init__(self, call):
        self.error: BaseException | None = None
        self._call = call
        self._thread = in_thread(self._run)

    def _run(self):
        try:
            self._call().close()
        except OSError as error:
            self.error = error

    def wait(self):
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.error


def test_giving_up_wakes_an_attempt_whose_packets_nobody_answers(monkeypatch):
    waiting = threading.Event()

    class Selector(selectors.DefaultSelector):
        def select(self, timeout=None):
            waiting.set()
            return super().select(timeout)

    monkeypatch.setattr(selectors, "DefaultSelector", Selector)
    attempt = Dial()
    with port_that_does_not_answer() as port:
        failure = Failure(lambda: dial(port, by=attempt, timeout=PATIENCE * 2))
        assert waiting.wait(PATIENCE)
        attempt.give_up()
        assert isinstance(failure.wait(), OSError)


def test_giving_up_between_two_addresses_spares_the_rest(resolve):
    attempt = Dial()
    silent = free_port()
    resolve(*[(socket.AF_INET, ("127.0.0.1", silent))] * 2)
    made = []

    class Counted(socket.socket):
        def connect_ex(self, address):
            made.append(address)
            # As if another thread had given up just after the lock was released.
            attempt._is_given_up = True
            return super().connect_ex(address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "socket", Counted)
        with pytest.raises(OSError, match=r".*"):
            dial(silent, by=attempt)
    assert len(made) == 1


def test_giving_up_wakes_a_tls_handshake_that_nobody_answers():
    attempt = Dial()
    greeted = threading.Event()

    def listen_only(sock):
        assert sock.recv(1)
        greeted.set()
        while sock.recv(65536):
            pass

    with listener(listen_only) as port:
        failure = Failure(lambda: dial(port, "wss", by=attempt, timeout=PATIENCE * 2))
        assert greeted.wait(PATIENCE)
        attempt.give_up()
        assert isinstance(failure.wait(), OSError)


def test_giving_up_before_the_tls_handshake_begins_closes_everything():
    attempt = Dial()

    class Context:
        def wrap_socket(self, *arguments, **options):
            attempt.give_up()
            return client_context().wrap_socket(*arguments, **options)

    with listener(lambda sock: sock.recv(1)) as port, pytest.raises(ConnectionAbortedError):
        dial(port, "wss", by=attempt, context=Context())


def test_giving_up_after_connecting_ends_the_connection_for_both():
    attempt = Dial()
    ends = []
    with listener(lambda sock: ends.append(sock.recv(1))) as port, dial(port, by=attempt) as sock:
        attempt.give_up()
        attempt.give_up()
        assert sock.recv(1) == b""
        wait_until(lambda: ends == [b""])


def test_giving_up_may_come_from_several_threads_while_connecting():
    for _ in range(50):
        attempt = Dial()
        barrier = threading.Barrier(3)

        def give_up(attempt=attempt, barrier=barrier):
            barrier.wait(PATIENCE)
            attempt.give_up()

        with listener(lambda sock: sock.recv(1)) as port:
            threads = [in_thread(give_up), in_thread(give_up)]
            barrier.wait(PATIENCE)
            try:
                sock = dial(port, by=attempt)
            except OSError:
                pass
            else:
                with sock:
                    assert sock.recv(1) == b""
            for thread in threads:
                thread.join(PATIENCE)
        assert attempt.is_given_up


# TLS


def serve_securely(sock):
    with closing(secure(sock, server_context())) as secured:
        secured.send(b"hello")
        secured.recv(1)


def test_a_secure_url_gives_a_secure_socket_with_the_time_limit():
    with (
        listener(serve_securely) as port,
        closing(dial(port, "wss", context=client_context(), timeout=3.5)) as sock,
    ):
        assert isinstance(sock, SecureSocket)
        assert sock.gettimeout() == 3.5
        assert sock.recv(5) == b"hello"


def test_a_certificate_of_an_unknown_authority_is_refused():
    with listener(serve_securely) as port, pytest.raises(ssl.SSLCertVerificationError):
        dial(port, "wss")


def test_a_certificate_for_another_host_is_refused():
    with (
        listener(lambda sock: secure(sock, server_context("elsewhere.test"))) as port,
        pytest.raises(ssl.SSLCertVerificationError, match=r"not valid for '127\.0\.0\.1'"),
    ):
        dial(port, "wss", context=client_context())


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
def test_a_server_without_tls_is_an_error(answer):
    def answer_plainly(sock):
        sock.recv(65536)
        sock.sendall(answer)

    with listener(answer_plainly) as port, pytest.raises(OSError, match=r"(?i)ssl|reset|EOF"):
        dial(port, "wss", context=client_context())


def test_a_tls_handshake_that_nobody_answers_ends_at_the_time_limit():
    with listener(lambda sock: sock.recv(65536) and sock.recv(1)) as port, pytest.raises(TimeoutError):
        dial(port, "wss", timeout=0.05)


def test_a_context_that_cannot_be_used_leaves_no_socket_open():
    class Context:
        def wrap_socket(self, *_, **__):
            raise ValueError("check_hostname requires server_hostname")

    with listener(lambda sock: sock.recv(1)) as port, pytest.raises(ValueError, match="check_hostname"):
        dial(port, "wss", context=Context())


def test_refusal_is_told_by_its_number():
    with pytest.raises(OSError, match=r"\w") as raised:
        dial(free_port())
    assert raised.value.errno == errno.ECONNREFUSED
    assert raised.value.strerror
