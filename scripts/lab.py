"""What the scripts that try out a whole cluster on this machine share: builds, processes, the node's JSON-RPC, memory of processes."""

import ctypes
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
# Pause between two looks.
POLL = 0.05


def say(text):
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


class Failed(Exception):
    """One sentence for the reader."""


def add_options(parser):
    """Options of every such script."""
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument("--keep", action="store_true", help="leave all files and logs where they are")
    parser.add_argument("--binaries", metavar="DIR", help="programs that were built before, instead of building them in release")


def build(options, *targets):
    """Builds the binary and the given targets of its package in release, and gives the directory that they are in."""
    subprocess.run([ROOT / "scripts/install-tools"], check=True, stdout=sys.stderr)
    if options.binaries:
        return pathlib.Path(options.binaries)
    command = ["cargo", "build", "--locked", "--release", "--package", "autonomys-farmer", "--bin", "autonomys-farmer"]
    if subprocess.run([*command, *targets], cwd=ROOT, stdout=sys.stderr, check=False).returncode:
        raise Failed("the build failed, see above")
    return TARGET / "release"


def nats_server():
    return os.environ.get("AUTONOMYS_NATS_SERVER", str(ROOT / ".tools/bin/nats-server"))


def wait_for(what, seconds, probe, alive=lambda: None):
    """Looks until the probe gives something true, and gives that. `alive` raises when it is pointless to go on."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        alive()
        if time.monotonic() >= deadline:
            raise Failed(f"not within {seconds} s: {what}")
        time.sleep(POLL)


class Process:
    """A process with a log of its own; dies with this script."""

    started = []

    def __init__(self, name, command, log, environment=None):
        self.name, self.command, self.log = name, [str(word) for word in command], pathlib.Path(log)
        self.environment = os.environ | (environment or {})
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.start()
        Process.started.append(self)

    def start(self):
        libc = ctypes.CDLL(None)
        pdeathsig = 1
        with self.log.open("ab") as output:
            self.popen = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=lambda: libc.prctl(pdeathsig, signal.SIGKILL),
            )

    @property
    def pid(self):
        return self.popen.pid

    def kill(self):
        """kill -9; returns when it is gone."""
        self.popen.kill()
        self.popen.wait()

    def stop(self, seconds=30):
        """SIGTERM; gives how long it took, or raises."""
        started = time.monotonic()
        self.popen.terminate()
        try:
            status = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failed(f"{self.name} did not stop within {seconds} s of SIGTERM") from None
        if status:
            raise Failed(f"{self.name} ended with status {status}\n{self.tail()}")
        return time.monotonic() - started

    def check(self):
        if self.popen.poll() is not None:
            raise Failed(f"{self.name} ended with status {self.popen.returncode}\n{self.tail()}")

    def tail(self, lines=15):
        return "\n".join(self.text().splitlines()[-lines:])

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def kill_all():
    """Whatever still runs of what this script has started."""
    for process in reversed(Process.started):
        if process.popen.poll() is None:
            process.kill()
    Process.started.clear()


def memory(pid, field):
    """MiB of a process by its status: VmHWM is the peak of the resident set, VmRSS the present one; None once it is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(rf"^{field}:\s+(\d+) kB", status, re.M)
    return int(found[1]) / 1024 if found else None


def rpc(url, method, *parameters):
    """One call to the node; None while it does not answer."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    message = urllib.request.Request(
        url.replace("ws://", "http://"), json.dumps(request).encode(), {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(message, timeout=5) as answer:
            answer = json.load(answer)
    except (OSError, ValueError):
        return None
    if "error" in answer:
        raise Failed(f"the node refused {method}: {answer['error']}")
    return answer["result"]


def winner(header):
    """Slot, public key, sector index and history size of the solution that a block was made with (SCALE, see
    docs/protocol/solution-verification.md)."""
    prefix = bytes([6]) + b"SUB_"
    for item in header["digest"]["logs"]:
        item = bytes.fromhex(item.removeprefix("0x"))
        if item.startswith(prefix):
            # The length of the rest in compact form takes two bytes, the version one.
            rest = item[len(prefix) + 3 :]
            number = lambda start, size: int.from_bytes(rest[start : start + size], "little")
            return {
                "slot": number(0, 8),
                "public_key": rest[8:40].hex(),
                "sector": number(72, 2),
                "history_size": number(74, 8),
            }
    return None


def children(pid):
    """Ids of the processes that a process has started."""
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        if re.search(rf"^PPid:\s+{pid}$", text, re.M):
            found.append(int(status.parent.name))
    return found


def log_fields(line):
    """Fields of a log line as in `fetch_ms=12`."""
    return dict(re.findall(r"(\w+)=(\S+)", line))
