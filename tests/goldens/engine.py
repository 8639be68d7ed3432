"""One throw-away Docker Engine in a network namespace of its own: what the goldens are taken from.

It shares nothing with `live/` on purpose: goldens and lab both check the model, and a mistake in one of the two should
not hide in the other. The recipe is the one in shared/facts.md. Everything is gone when the `with` ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import docker

START_SECONDS = 30
STOP_SECONDS = 20
IMAGE = "hopcast/golden"


class Engine:
    """`with Engine(["--icc=false"], addresses=["192.168.99.101/24"]) as engine: engine.client...`"""

    def __init__(self, flags: list[str], *, addresses: list[str], resolv_conf: str) -> None:
        self.flags, self.addresses, self.resolv_conf = flags, addresses, resolv_conf
        self.root = Path(tempfile.mkdtemp(prefix="hopcast-golden-"))
        self.netns = f"hg{os.getpid()}{self.root.name[-4:]}"
        self.process: subprocess.Popen[bytes] | None = None
        self.client: Any = None

    def __enter__(self) -> Engine:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._stop()

    def _start(self) -> None:
        run("ip", "netns", "add", self.netns)
        self.inside("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        run("ip", "-n", self.netns, "link", "set", "lo", "up")
        run("ip", "-n", self.netns, "link", "add", "eth0", "type", "veth", "peer", "name", "wire")
        for device in ("eth0", "wire"):
            run("ip", "-n", self.netns, "link", "set", device, "up")
        for address in self.addresses:
            run("ip", "-n", self.netns, "addr", "add", address, "dev", "eth0")
        (self.root / "resolv.conf").write_text(self.resolv_conf)
        (self.root / "hosts").write_text("127.0.0.1 localhost\n")
        script = (
            "mount --make-rprivate / && mkdir -p /var/run/docker && mount -t tmpfs tmpfs /var/run/docker && "
            f"mount --bind {self.root}/resolv.conf /etc/resolv.conf && mount --bind {self.root}/hosts /etc/hosts && "
            f"exec dockerd -H unix://{self.root}/docker.sock --data-root {self.root}/data --exec-root {self.root}/exec "
            f"--pidfile {self.root}/dockerd.pid --storage-driver overlay2 {' '.join(self.flags)}"
        )
        with (self.root / "log").open("wb") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.netns}", "unshare", "-m", "sh", "-c", script],
                stdout=log, stderr=log, start_new_session=True)
        self.client = docker.DockerClient(f"unix://{self.root}/docker.sock", timeout=30, version="1.41")
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.client.ping()
                break
            except Exception:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError((self.root / "log").read_text()[-2000:]) from None
                time.sleep(0.1)
        self._import_image()

    def _import_image(self) -> None:
        image = self.root / "image"
        (image / "bin").mkdir(parents=True)
        busybox = shutil.which("busybox")
        assert busybox, "busybox-static is not installed"
        shutil.copy(busybox, image / "bin/busybox")
        for applet in ("sh", "sleep", "cat", "ip", "nslookup"):
            (image / "bin" / applet).symlink_to("busybox")
        archive = shutil.make_archive(str(self.root / "image"), "tar", image)
        self.client.api.import_image(archive, repository=IMAGE, tag="latest")

    def inside(self, *command: str, pid: int | None = None) -> str:
        """Run a command in the host's namespace, or in that of a container's process; its output."""
        where = f"--net=/proc/{pid}/ns/net" if pid else f"--net=/run/netns/{self.netns}"
        return run("nsenter", where, *command)

    def _stop(self) -> None:
        if self.client is not None:
            with contextlib.suppress(Exception):
                for container in self.client.containers.list(all=True):
                    with contextlib.suppress(Exception):
                        container.remove(force=True)
            with contextlib.suppress(Exception):
                self.client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                # dockerd and the containerd that it started are one process group, made for this engine
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        with contextlib.suppress(subprocess.CalledProcessError):
            run("ip", "netns", "del", self.netns)
        shutil.rmtree(self.root, ignore_errors=True)


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
