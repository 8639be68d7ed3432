"""The guest's files, from packages that are made here."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from live.vm import tree
from sim.errors import LabError


def place(root: Path, *members: tuple[str, bytes | str | None]) -> None:
    """A package's files into `root`: bytes for a file, text for a link, None for a folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in members:
            entry = tarfile.TarInfo(name)
            if content is None:
                entry.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
            else:
                entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content) if isinstance(content, bytes) else None)
    packed.seek(0)
    with tarfile.open(fileobj=packed) as tar:
        for member in tar:
            tree._place(tar, member, root)


def test_files_of_the_old_top_folders_land_in_usr(tmp_path: Path) -> None:
    tree.unpack([], tmp_path)
    place(tmp_path, ("./", None), ("./lib", None), ("./lib/modules/x.txt", b"m"), ("./bin/busybox", b"b"))
    assert (tmp_path / "usr/lib/modules/x.txt").read_bytes() == b"m"
    assert (tmp_path / "lib").is_symlink() and (tmp_path / "bin/busybox").read_bytes() == b"b"


def test_a_later_package_replaces_a_file_or_a_link(tmp_path: Path) -> None:
    place(tmp_path, ("./etc/a", "nowhere"))
    place(tmp_path, ("./etc/a", b"new"))
    assert not (tmp_path / "etc/a").is_symlink() and (tmp_path / "etc/a").read_bytes() == b"new"


@pytest.mark.parametrize("name", [
    "./usr/share/doc/docker.io/copyright", "./usr/share/locale/de/LC_MESSAGES/x.mo",
    "./lib/modules/6.1/kernel/drivers/gpu/drm/drm.ko", "./lib/modules/6.1/kernel/drivers/net/ethernet/e1000.ko",
    "./lib/modules/6.1/kernel/net/bluetooth/bluetooth.ko"])
def test_what_no_guest_needs_is_left_out(tmp_path: Path, name: str) -> None:
    place(tmp_path, (name, b"x"))
    assert not list(tmp_path.rglob("*.*"))


@pytest.mark.parametrize("module", [
    "net/netfilter/ipvs/ip_vs.ko", "drivers/net/ipvlan/ipvlan.ko", "net/ipv4/esp4.ko", "net/xfrm/xfrm_user.ko",
    "net/8021q/8021q.ko", "drivers/net/dummy.ko", "net/sched/sch_netem.ko", "net/sched/sch_tbf.ko",
    "drivers/net/vxlan/vxlan.ko", "drivers/net/macvlan.ko", "drivers/net/veth.ko", "net/bridge/br_netfilter.ko",
    "fs/overlayfs/overlay.ko", "crypto/gcm.ko", "drivers/block/virtio_blk.ko", "fs/ext4/ext4.ko"])
def test_every_module_that_a_lab_needs_stays(tmp_path: Path, module: str) -> None:
    place(tmp_path, (f"./lib/modules/6.1/kernel/{module}", b"x"))
    assert (tmp_path / "usr/lib/modules/6.1/kernel" / module).exists()


def test_installers_are_not_unpacked() -> None:
    names = ["perl-base_5.36_amd64.deb", "initramfs-tools-core_0.1_all.deb", "debconf_1.5_all.deb", "udev_252.deb"]
    assert all(tree.NOT_UNPACKED.match(name) for name in names)
    assert not any(tree.NOT_UNPACKED.match(name) for name in ("docker.io_20_amd64.deb", "libudev1_252_amd64.deb"))


def test_two_kernels_are_an_error_and_not_a_choice(tmp_path: Path) -> None:
    for release in ("6.1.0-1", "6.1.0-2"):
        (tmp_path / "usr/lib/modules" / release / "kernel").mkdir(parents=True)
    with pytest.raises(LabError, match="2 kernels"):
        tree.kernel_release(tmp_path)


def test_a_damaged_package_is_named(tmp_path: Path) -> None:
    package = tmp_path / "broken_1_all.deb"
    package.write_bytes(b"no package")
    with pytest.raises(LabError, match="broken_1_all"):
        tree.unpack([package], tmp_path / "root")
