"""A file is read whole, if it is one and can end; a number is written in the ten digits, and a text in UTF-8."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from sim import compose
from sim.compose.dotenv import read_env_files
from sim.errors import SpecError
from sim.fabric.costs import CostModel
from sim.reading import MAX_BYTES, read_text

READERS = {
    "Compose file": lambda path: compose.load(path, environment={}),
    "costs": CostModel.load,
    ".env": lambda path: read_env_files([path], {}),
}


def pipe(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    at = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{at}/{path.name}")  # a socket's path has 108 bytes
    os.close(at)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def holes(path: Path) -> None:
    path.touch()
    os.truncate(path, 2**40)


def nothing(path: Path) -> None:
    """There is none."""


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("make", "said"), [(pipe, "a named pipe"), (unix_socket, "a socket"), (device, "a device"),
                                            (holes, "larger than 4 MB"), (nothing, "no such file")])
def test_what_may_never_end_is_refused_by_its_kind(reader: str, make, said: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    make(path)
    with pytest.raises(SpecError, match=said) as refused:
        READERS[reader](path)
    assert refused.value.where == str(path)


@pytest.mark.parametrize("reader", READERS)
def test_bytes_that_are_no_text_are_refused_with_their_line(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"A=1\nB=\x80\n")
    with pytest.raises(SpecError, match="not a text file in UTF-8") as refused:
        READERS[reader](path)
    assert refused.value.where == f"{path}:2"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_compose_file_may_have_a_byte_order_mark_and_ends_of_lines_of_windows(
    encoding: str, end: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(f"services:{end}  web:{end}    image: nginx{end}".encode(encoding))
    assert [box.service for box in compose.load(path, environment={}).containers] == ["web"]


def test_a_file_that_grows_meanwhile_is_read_no_further(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(b"x" * 9)
    assert read_text(path, limit=9) == "x" * 9
    with pytest.raises(SpecError):
        read_text(path, limit=8)
    assert MAX_BYTES >= 10_000 * 100


def test_an_error_in_an_env_file_does_not_tell_its_text(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    for text in ("A=1\nhunter2 secret\n", "A=1\nB=${hunter2\n", "A=1\nB='hunter2", 'A=1\nB="${X:?hunter2}"'):
        path.write_text(text)
        with pytest.raises(SpecError) as refused:
            read_env_files([path], {})
        assert refused.value.where == f"{path}:2" and "hunter2" not in str(refused.value)


def costs(**changed: object) -> str:
    row = {"prices": {"veth": 1e-6}, "variation": 0, "interruptions": [], "seen": {}} | changed
    return json.dumps({"regimes": {"blocking": row}})


@pytest.mark.parametrize("text", [
    "[" * 100_000, '{"regimes":' * 5000, "9" * 5000, "null", "7", '""', '{"regimes": []}',
    '{"regimes": {"blocking": 7}}', costs(prices={"²": 1}),
    costs(prices={"veth": "NaN"}), costs(prices={"veth": 1e9}), costs(variation="inf"), costs(variation=[1]),
    costs(prices={"veth": None}), costs(interruptions=[[1]]), costs(interruptions=[[1, -1]]),
    costs(seen={"veth": [1]}), costs(seen=[["veth"]]), costs(prices={"veth": 10**400}),
])
def test_what_is_no_table_of_costs_is_refused_whatever_it_is(text: str, tmp_path: Path) -> None:
    path = tmp_path / "costs.json"
    path.write_text(text)
    with pytest.raises(SpecError, match="hopcast calibrate"):
        CostModel.load(path)


@pytest.mark.parametrize(("text", "said"), [
    ("{underlay: {rate: '" + "9" * 400 + "mbit'}}", "no unit"), ("{underlay: {delay: ²ms}}", "no unit"),
    ("{underlay: {rate: 999999999999999gbit}}", "rate"), ("{hosts: {h: {engine: {mtu: '²'}}}}", "not a whole number"),
    ("{hosts: {h: {address: 10.0.0.1/²}}}", "prefix length"), ("{questions: [web -> web ping timeout ²]}", "seconds"),
    ("{questions: [web -> ²:80]}", "unknown target"),
    ("{questions: [{from: web, to: web, timeout: nan}]}", "seconds"),
])
def test_numbers_are_of_the_ten_digits_and_of_a_size(text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        compose.loads("services: {web: {image: nginx}}\nx-hopcast: " + text)


@pytest.mark.parametrize("target", ["1.2.3.²", "٣.٣.٣.٣"])
def test_other_digits_make_no_address_but_a_name(target: str) -> None:
    spec = compose.loads(f"services: {{web: {{image: nginx}}}}\nx-hopcast: {{questions: [web -> {target}]}}")
    assert [question.by for question in spec.questions] == ["name"]


@pytest.mark.parametrize("mtu", ["²", "9" * 5000, "1500.0", ""])
def test_a_drivers_mtu_is_a_number(mtu: str) -> None:
    with pytest.raises(SpecError, match="no MTU"):
        compose.loads("services: {web: {image: nginx, networks: [n]}}\n"
                      f"networks: {{n: {{driver_opts: {{com.docker.network.driver.mtu: '{mtu}'}}}}}}")
