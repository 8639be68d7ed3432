"""The guest's first file system."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from live.vm import initrd

DEPENDENCIES = """kernel/drivers/virtio/virtio.ko:
kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko
kernel/lib/crc16.ko:
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    modules = tmp_path / "usr/lib/modules/6.1"
    for line in DEPENDENCIES.splitlines():
        file = modules / line.partition(":")[0]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(file.name.encode())
    (modules / "modules.dep").write_text(DEPENDENCIES)
    (tmp_path / "usr/bin").mkdir()
    (tmp_path / "usr/bin/busybox").write_bytes(b"#!busybox")
    return tmp_path


def test_a_module_is_loaded_after_all_that_it_needs(root: Path) -> None:
    order = [path.name for path in initrd.load_order(root / "usr/lib/modules/6.1", initrd.NEEDED)]
    assert order.index("virtio.ko") < order.index("virtio_ring.ko") < order.index("virtio_pci.ko")
    assert order.index("crc16.ko") < order.index("ext4.ko")
    assert len(order) == len(set(order)) == 6


def test_what_is_built_into_the_kernel_is_not_loaded(root: Path) -> None:
    assert initrd.load_order(root / "usr/lib/modules/6.1", ["virtio_mmio"]) == []


def test_the_same_files_make_the_same_archive(root: Path) -> None:
    assert initrd.build(root, "6.1") == initrd.build(root, "6.1")


@pytest.mark.skipif(shutil.which("busybox") is None, reason="no busybox to read the archive with")
def test_cpio_reads_the_archive(root: Path, tmp_path: Path) -> None:
    listed = subprocess.run(["busybox", "cpio", "-itv"], input=initrd.build(root, "6.1"), capture_output=True,
                            check=True, timeout=20).stdout.decode().splitlines()
    names = {line.split(" -> ")[0].split()[-1] for line in listed}
    assert {"init", "bin/busybox", "bin/sh", "modules/order", "modules/ext4.ko", "dev"} <= names


def test_sizes_and_padding_follow_the_format() -> None:
    archive = initrd.Archive()
    archive.add("init", initrd.FILE, b"12345")
    data = archive.close()
    assert data.startswith(b"070701") and len(data) % 4 == 0
    assert int(data[54:62], 16) == 5  # c_filesize
    assert int(data[94:102], 16) == len("init") + 1  # c_namesize
    assert b"TRAILER!!!" in data
