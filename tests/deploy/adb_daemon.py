"""The device's side of the adb protocol over TCP, so that the real adb program has something to talk to.

It has what msnoah uses: shell services with and without the shell protocol, and file transfer (sync, version 1).
Commands run on this machine in a folder that stands for the device. Written from the public description of the protocol
(Android's packages/modules/adb: protocol.txt, SYNC.TXT, shell_protocol.h). No authentication, no encryption.
"""

import errno
import os
import queue
import socket
import stat
import struct
import subprocess
import threading
from pathlib import Path

VERSION = 0x01000001  # from here on checksums are not looked at
MAX_DATA = 256 * 1024
HEADER = struct.Struct("<4sIIIII")  # command, two arguments, length, checksum, magic
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)
SYNC_BLOCK = 64 * 1024


class AdbDaemon:
    """Listens on a free port of the loopback until `stop`; `environment` is that of its commands."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None, features: str = "shell_v2"):
        self.folder, self.features = folder, features
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **(environment or {})}
        self.full = False  # whether files find no space
        self.port = 0
        self.start()

    def start(self):
        """Listens, after a `stop` on the same port as before."""
        self.connections: list[Connection] = []
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    @property
    def serial(self) -> str:
        """What adb calls it."""
        return f"127.0.0.1:{self.port}"

    def _accept(self, listener: socket.socket):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections.append(Connection(self, client))

    def stop(self):
        """As when the device loses its power: connections break and its processes end."""
        try:
            self.listener.shutdown(socket.SHUT_RDWR)  # ends the thread that waits in accept
        except OSError:
            pass
        self.listener.close()
        for connection in self.connections:
            connection.end()


class Connection:
    """One adb server; streams are numbered from 1 here, and by the server as it likes."""

    def __init__(self, daemon: AdbDaemon, client: socket.socket):
        self.daemon, self.client = daemon, client
        self.sending = threading.Lock()
        self.streams: dict[int, Stream] = {}
        threading.Thread(target=self._serve, daemon=True).start()

    def send(self, command: bytes, first: int, second: int, data: bytes = b"") -> None:
        magic = struct.unpack("<I", command)[0] ^ 0xFFFFFFFF
        header = HEADER.pack(command, first, second, len(data), sum(data) & 0xFFFFFFFF, magic)
        with self.sending:
            self.client.sendall(header + data)

    def end(self):
        try:
            self.client.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.client.close()
        for stream in list(self.streams.values()):
            stream.end()

    def _serve(self):
        file = self.client.makefile("rb")
        try:
            while len(header := file.read(HEADER.size)) == HEADER.size:
                command, first, second, length, _, _ = HEADER.unpack(header)
                self._take(command, first, second, file.read(length))
        except (OSError, ValueError):
            pass
        self.end()

    def _take(self, command: bytes, first: int, second: int, data: bytes) -> None:
        if command == b"CNXN":
            properties = "ro.product.name=test;ro.product.model=test;ro.product.device=test"
            self.send(b"CNXN", VERSION, MAX_DATA, f"device::{properties};features={self.daemon.features}".encode())
        elif command == b"OPEN":
            number = max(self.streams, default=0) + 1
            self.streams[number] = Stream(self, number, first, data.rstrip(b"\0").decode())
        elif second in self.streams:
            self.streams[second].take(command, data)


class Stream:
    """One service that was opened; what it writes waits for the other side's OKAY, piece by piece."""

    def __init__(self, connection: Connection, number: int, peer: int, service: str):
        self.connection, self.number, self.peer = connection, number, peer
        self.incoming: queue.Queue[bytes | None] = queue.Queue()
        self.acknowledged = threading.Semaphore(0)
        self.open, self.rest, self.process = True, b"", None
        threading.Thread(target=self._serve, args=(service,), daemon=True).start()

    def take(self, command: bytes, data: bytes) -> None:
        if command == b"OKAY":
            self.acknowledged.release()
        elif command == b"WRTE":
            self.incoming.put(data)
            self.connection.send(b"OKAY", self.number, self.peer)
        elif command == b"CLSE":
            self.end()

    def write(self, data: bytes) -> None:
        for start in range(0, len(data), MAX_DATA):
            self.connection.send(b"WRTE", self.number, self.peer, data[start:start + MAX_DATA])
            self.acknowledged.acquire()
            if not self.open:
                raise EOFError

    def read(self, size: int) -> bytes:
        while len(self.rest) < size:
            piece = self.incoming.get()
            if piece is None:
                raise EOFError
            self.rest += piece
        found, self.rest = self.rest[:size], self.rest[size:]
        return found

    def end(self):
        self.open = False
        self.incoming.put(None)
        self.acknowledged.release()
        if self.process is not None:
            self.process.kill()

    def _serve(self, service: str) -> None:
        name, _, rest = service.partition(":")
        kind = name.split(",")[0]
        try:
            if kind not in SERVICES:
                self.connection.send(b"CLSE", 0, self.peer)
                return
            self.connection.send(b"OKAY", self.number, self.peer)
            SERVICES[kind](self, name, rest)
            self.connection.send(b"CLSE", self.number, self.peer)
        except (EOFError, OSError):
            pass
        self.connection.streams.pop(self.number, None)


def shell(stream: Stream, name: str, command: str) -> None:
    """`shell,v2,...:` speaks in packets of an id, a length and the data; `shell:` and `exec:` hand bytes on."""
    daemon, packed = stream.connection.daemon, "v2" in name.split(",")
    stream.process = process = subprocess.Popen(
        ["sh", "-c", command], cwd=daemon.folder, env=daemon.environment, bufsize=0,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE if packed else subprocess.STDOUT)
    threading.Thread(target=_feed, args=(stream, process, packed), daemon=True).start()
    pipes = {STDOUT: process.stdout, **({STDERR: process.stderr} if packed else {})}
    readers = [threading.Thread(target=_forward, args=(stream, pipe, number if packed else None), daemon=True)
               for number, pipe in pipes.items()]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    code = process.wait()
    if packed:
        stream.write(struct.pack("<BIB", EXIT, 1, code if code >= 0 else 128 - code))


def _feed(stream: Stream, process: subprocess.Popen, packed: bool) -> None:
    try:
        while True:
            kind, length = struct.unpack("<BI", stream.read(5)) if packed else (STDIN, 1)
            data = stream.read(length)
            if kind == STDIN:
                process.stdin.write(data)
            elif kind == CLOSE_STDIN:
                process.stdin.close()
    except (EOFError, OSError, ValueError):
        process.stdin.close()


def _forward(stream: Stream, pipe, number: int | None) -> None:
    try:
        while data := pipe.read(SYNC_BLOCK):
            stream.write(data if number is None else struct.pack("<BI", number, len(data)) + data)
    except (EOFError, OSError):
        pass


def sync(stream: Stream, name: str, rest: str) -> None:
    """File transfer: requests of four letters and a length, until QUIT."""
    while True:
        request, length = struct.unpack("<4sI", stream.read(8))
        argument = stream.read(length).decode()
        if request == b"QUIT":
            return
        try:
            SYNC_REQUESTS[request](stream, argument)
        except OSError as error:
            words = f"{error.strerror}".encode()
            stream.write(b"FAIL" + struct.pack("<I", len(words)) + words)


def _stat(stream: Stream, path: str) -> None:
    try:
        found = os.lstat(stream.connection.daemon.folder / path)
    except OSError:
        stream.write(b"STAT" + struct.pack("<III", 0, 0, 0))
        return
    stream.write(b"STAT" + struct.pack("<III", found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime)))


def _send(stream: Stream, argument: str) -> None:
    """The whole file is taken before a fault is told of."""
    path, _, mode = argument.rpartition(",")
    blocks = []
    while True:
        kind, length = struct.unpack("<4sI", stream.read(8))
        if kind == b"DONE":
            break
        blocks.append(stream.read(length))
    if stream.connection.daemon.full:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    target = stream.connection.daemon.folder / path
    target.write_bytes(b"".join(blocks))
    target.chmod(stat.S_IMODE(int(mode)))
    stream.write(b"OKAY" + struct.pack("<I", 0))


def _receive(stream: Stream, path: str) -> None:
    content = (stream.connection.daemon.folder / path).read_bytes()
    for start in range(0, len(content), SYNC_BLOCK):
        block = content[start:start + SYNC_BLOCK]
        stream.write(b"DATA" + struct.pack("<I", len(block)) + block)
    stream.write(b"DONE" + struct.pack("<I", 0))


def _list(stream: Stream, path: str) -> None:
    for entry in sorted((stream.connection.daemon.folder / path).iterdir()):
        found, name = entry.lstat(), entry.name.encode()
        facts = struct.pack("<IIII", found.st_mode, found.st_size, int(found.st_mtime), len(name))
        stream.write(b"DENT" + facts + name)
    stream.write(b"DONE" + struct.pack("<IIII", 0, 0, 0, 0))


SERVICES = {"shell": shell, "exec": shell, "sync": sync}
SYNC_REQUESTS = {b"STAT": _stat, b"SEND": _send, b"RECV": _receive, b"LIST": _list}
