"""An own Postfix instance as a plain relay: loopback in, everything to the sink; no routing, no tickets, no log."""

import pwd
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from bench.load import free_port, wait_for_port
from bench.tools import BUILD, program

__all__ = ["Postfix"]

# Everything else is Postfix's default. Nothing listens on a system log here, so logging costs it next to nothing.
_MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = postfix.desk.test
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
relayhost = [127.0.0.1]:{next_hop}
smtpd_relay_restrictions = permit_mynetworks, reject
alias_maps =
alias_database =
local_recipient_maps =
message_size_limit = 52428800
smtp_dns_support_level = disabled
smtp_host_lookup = native
disable_dns_lookups = yes
"""

_MASTER = """\
127.0.0.1:{port} inet  n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
local     unix  - n n - - local
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """Runs while the context lasts; ``port`` takes mail, ``pid`` is its master."""

    name = "Postfix"

    def __init__(self, next_hop: int) -> None:
        self.port = free_port()
        self.pid = 0
        self._folder = BUILD / "postfix"
        self._next_hop = next_hop

    def __enter__(self) -> Self:
        if (self._folder / "queue").exists():
            self._run("stop", check=False)
            shutil.rmtree(self._folder)
        etc = self._folder / "etc"
        etc.mkdir(parents=True)
        (self._folder / "queue").mkdir()
        data = self._folder / "data"
        data.mkdir(mode=0o700)
        shutil.chown(data, "postfix", pwd.getpwnam("postfix").pw_gid)
        (etc / "main.cf").write_text(_MAIN.format(folder=self._folder, next_hop=self._next_hop), encoding="ascii")
        (etc / "master.cf").write_text(_MASTER.format(port=self.port), encoding="ascii")
        for file in ("dynamicmaps.cf", "postfix-files"):
            shutil.copy(Path("/etc/postfix") / file, etc)
        self._run("start")
        wait_for_port(self.port)
        self.pid = int((self._folder / "queue" / "pid" / "master.pid").read_text(encoding="ascii"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        children = psutil.Process(self.pid).children(recursive=True) if psutil.pid_exists(self.pid) else []
        self._run("stop", check=False)
        psutil.wait_procs(children, timeout=10)

    def _run(self, command: str, *, check: bool = True) -> None:
        result = subprocess.run(
            [program("postfix"), "-c", str(self._folder / "etc"), command], capture_output=True, text=True, check=False
        )
        if check and result.returncode:
            raise RuntimeError(f"postfix {command}: {result.stdout}{result.stderr}")
