"""Too much of everything, and the way out: memory, file descriptors, the daemon's end (RELIABILITY C17, C18, C24, F08).

One relay with a small ``max_size`` and few file descriptors; figures are compared with wide margins.
"""

import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import OURS, STRANGER, Relay, mail
from journeys.traffic import SUPPORT, customer, message_id_of
from smtp_sink import ThreadedSink
from strange_client import StrangeClient

_MIB = 1 << 20
LIMIT = 10 * _MIB
FILES = 256  # of each worker


class FewFiles(Relay):
    """A relay as a service with a low LimitNOFILE."""

    def start(self, *options: str) -> None:
        offset = self.log_path.stat().st_size if self.log_path.exists() else 0
        serve = f'ulimit -n {FILES}; exec "$0" -m supportrelay serve --config "$@"'
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", serve, sys.executable, str(self.config_path), *options], stderr=log, stdout=log
            )
        self.wait_for_log("relay.ready", offset)

    def family(self) -> list[psutil.Process]:
        assert self.process is not None
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def memory(self) -> int:
        """Octets, of all its processes together."""
        return sum(one.memory_info().rss for one in self.family())

    def cpu_s(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self.family())

    def client(self, source: str = STRANGER, *, receive_buffer: int | None = None) -> StrangeClient:
        return StrangeClient(("127.0.0.1", self.port), source=source, receive_buffer=receive_buffer)


@pytest.fixture(scope="module")
def sink() -> Iterator[ThreadedSink]:
    with ThreadedSink() as sink:
        yield sink


@pytest.fixture(scope="module")
def relay(sink: ThreadedSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FewFiles]:
    config = desk_config(sink.port) | {"max_size": "10MiB", "workers": 1, "limits": {"connections": 60}}
    relay = FewFiles(tmp_path_factory.mktemp("floods"), config, COMPANIES)
    relay.start()
    yield relay
    if relay.process is not None:
        assert relay.stop() == 0


@pytest.fixture
def peak(relay: FewFiles) -> Iterator[list[int]]:
    """``[before, highest]`` octets of memory; the second grows while the test runs."""
    seen = [relay.memory()] * 2
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            seen[1] = max(seen[1], relay.memory())

    thread = threading.Thread(target=watch)
    thread.start()
    yield seen
    done.set()
    thread.join()


def assert_serves(relay: FewFiles, sink: ThreadedSink, name: str) -> None:
    """A mail comes through."""
    octets = mail(sender=customer(1), to=SUPPORT, subject=name, message_id=f"<{name}@mail.example>")
    with relay.client("127.0.0.77") as client:
        client.begin(SUPPORT)
        assert client.say(octets + b".").startswith("250 ")
    relay.settle()
    assert f"<{name}@mail.example>" in {message_id_of(one.octets) for one in sink.messages}


def test_c17_a_message_over_the_limit_is_refused_and_costs_no_memory(relay: FewFiles, peak: list[int]) -> None:
    with relay.client() as client:
        client.reply()
        client.say("EHLO x")
        assert client.say(f"MAIL FROM:<a@b.example> SIZE={LIMIT + 1}").startswith("552 5.3.4 ")
        client.say("MAIL FROM:<a@b.example>")
        client.say(f"RCPT TO:<{SUPPORT}>")
        client.say("DATA")
        client.send(b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * (3 * LIMIT // 2 // 72))
        assert client.say(b".").startswith("552 5.3.4 ")
        assert client.say("NOOP").startswith("250 ")
    assert peak[1] - peak[0] < 2 * LIMIT


@pytest.mark.parametrize(
    "piece",
    [pytest.param(b"\r\n" * 32768, id="30-MB-of-empty-lines"), pytest.param(b"x" * 65536, id="50-MB-in-a-line")],
)
def test_c18_endless_lines_ten_at_once_are_ended_and_others_are_served(
    relay: FewFiles, sink: ThreadedSink, peak: list[int], piece: bytes
) -> None:
    """Twice the limit is the end; memory is far from ten times the limit."""
    sent: list[int] = []

    def flood(number: int) -> None:
        with relay.client(f"127.0.0.{10 + number}") as client:
            client.begin(SUPPORT)
            sent.append(client.send_as_far_as_it_goes(piece for _ in range(50 * _MIB // len(piece))))

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    assert_serves(relay, sink, f"beside-a-flood-{piece[:1].hex()}")
    for thread in threads:
        thread.join()
    assert len(sent) == 10
    assert max(sent) < 50 * _MIB
    assert peak[1] - peak[0] < 2 * LIMIT


def test_c17_twenty_large_messages_at_once_wait_on_disk(relay: FewFiles, sink: ThreadedSink, peak: list[int]) -> None:
    """20 times 4 MiB without their end are not in memory; then each may end or not, and leaves nothing behind."""
    line = b"x" * 70 + b"\r\n"
    with ExitStack() as stack:
        clients = [stack.enter_context(relay.client(f"127.0.0.{10 + number}")) for number in range(20)]
        for number, client in enumerate(clients):
            client.begin(SUPPORT)
            head = mail(sender=customer(1), to=SUPPORT, subject="large", message_id=f"<large-{number}@mail.example>")
            client.send(head + line * (4 * _MIB // len(line)))
        assert_serves(relay, sink, "beside-large-ones")
        assert peak[1] - peak[0] < 2 * LIMIT
        for client in clients[3:]:
            client.reset()
        for client in clients[:3]:
            assert client.say(b".").startswith("250 ")
    relay.settle(60)
    copies = {message_id_of(one.octets): one.octets for one in sink.messages}
    assert [copies[f"<large-{number}@mail.example>"].count(line) for number in range(3)] == [4 * _MIB // len(line)] * 3
    assert not [one for one in Path(relay.folder, "state").iterdir() if one.name.startswith("tmp")]


def test_c24_one_address_gets_so_many_connections_and_others_are_served(relay: FewFiles, sink: ThreadedSink) -> None:
    """500 connections of one address: 50 stay, the others hear 421 4.7.0."""
    with ExitStack() as stack:
        clients = [stack.enter_context(relay.client("127.0.0.40")) for _ in range(500)]
        heard = Counter(client.reply()[:9] for client in clients)
        assert sum(heard.values()) == 500
        assert heard["220 relay"] == 50
        assert heard["421 4.7.0"] == 450
        assert_serves(relay, sink, "beside-500-connections")
    assert_serves(relay, sink, "after-500-connections")


def test_c24_all_strangers_together_get_so_many_and_our_own_always_find_a_place(relay: FewFiles) -> None:
    with ExitStack() as stack:
        strangers = [stack.enter_context(relay.client(f"127.0.1.{number % 200 + 1}")) for number in range(70)]
        heard = Counter(client.reply()[:9] for client in strangers)
        assert heard["220 relay"] == 60
        assert heard["421 4.3.2"] == 10
        ours = stack.enter_context(relay.client(OURS))
        assert ours.reply().startswith("220 ")


@pytest.mark.parametrize("files", [pytest.param(FILES, id="known"), pytest.param(64, id="taken-away")])
def test_c24_f34_without_file_descriptors_it_does_not_spin_and_recovers(
    relay: FewFiles, sink: ThreadedSink, files: int
) -> None:
    """Our own connections have no limit but the process's: those above hear 421 while there are files for that.

    When the files are gone (EMFILE) connections are dropped unheard.
    """
    worker = max(relay.family(), key=psutil.Process.num_fds)
    subprocess.run(["prlimit", f"--pid={worker.pid}", f"--nofile={files}:"], check=True)
    places = (FILES - 96) // 2
    with ExitStack() as stack:
        clients = [stack.enter_context(relay.client(OURS)) for _ in range(400)]
        heard = Counter(client.reply()[:9] for client in clients)
        if files == FILES:
            assert heard == {"220 relay": places, "421 4.3.2": 400 - places}
        else:
            assert 0 < heard["220 relay"] < files
            assert heard[""] == 400 - heard["220 relay"]
        before = relay.cpu_s()
        time.sleep(1)
        assert relay.cpu_s() - before < 0.8, "a loop that spins takes all of it"
    subprocess.run(["prlimit", f"--pid={worker.pid}", f"--nofile={FILES}:"], check=True)
    assert_serves(relay, sink, f"after-{files}-files")


def test_c23_a_client_that_never_reads_holds_nothing_up(relay: FewFiles, sink: ThreadedSink, peak: list[int]) -> None:
    with relay.client(receive_buffer=2048) as client:
        client.socket.settimeout(1)
        client.send_as_far_as_it_goes(b"VRFY x\r\n" * 1000 for _ in range(1000))
        assert_serves(relay, sink, "beside-a-client-that-never-reads")
    assert peak[1] - peak[0] < 2 * LIMIT


def test_f08_sigterm_lets_a_message_end_tells_the_idle_and_closes_the_door(relay: FewFiles, sink: ThreadedSink) -> None:
    """The last test of this module, because the relay is gone afterwards."""
    process = relay.process
    assert process is not None
    octets = mail(sender=customer(1), to=SUPPORT, subject="end", message_id="<at-the-end@mail.example>")
    with relay.client() as busy, relay.client() as idle, relay.client() as waiting:
        busy.begin(SUPPORT)
        busy.send(octets[:40])
        assert idle.reply().startswith("220 ")
        waiting.reply()
        waiting.say("EHLO x")
        process.send_signal(signal.SIGTERM)
        assert idle.reply().startswith("421 4.3.2 ")
        assert waiting.reply().startswith("421 4.3.2 ")
        with pytest.raises(ConnectionError):
            relay.client()
        assert busy.say(octets[40:] + b".").startswith("250 ")
        assert busy.reply().startswith("421 4.3.2 ")
    assert process.wait(60) == 0
    relay.process = None
    relay.start()
    process = relay.process
    assert process is not None
    relay.settle()
    assert "<at-the-end@mail.example>" in {message_id_of(one.octets) for one in sink.messages}
    with relay.client() as endless:
        endless.begin(SUPPORT)
        process.send_signal(signal.SIGTERM)
        assert endless.is_silent(1.0), "it may still end"
        process.send_signal(signal.SIGTERM)
        assert endless.rest() == b"", "a second signal is for who cannot wait"
    process.wait(60)
    relay.process = None
