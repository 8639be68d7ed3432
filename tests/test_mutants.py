"""The list of mutants that were judged equivalent stays true of the source."""

from __future__ import annotations

import pytest

from tests import mutants


def test_a_diff_of_several_lines_is_one_change() -> None:
    diff = "--- a.py\n+++ a.py\n@@ -1,2 +1,2 @@\n def f():\n-    x = (1 +\n-         2)\n+    x = (1 -\n+         2)\n"
    assert mutants.change_of("a.py", diff) == mutants.Change("a.py", "x = (1 + 2)", "x = (1 - 2)")


@pytest.mark.parametrize("change", mutants.equivalent(), ids=str)
def test_the_line_of_an_equivalent_mutant_still_stands_in_its_file(change: mutants.Change) -> None:
    source = " ".join((mutants.ROOT / change.file).read_text().split())
    assert " ".join(change.before.split()) in source
    assert mutants.equivalent()[change]


def test_every_chosen_file_and_its_tests_are_there() -> None:
    for file, tests in mutants.CHOSEN.items():
        assert (mutants.ROOT / file).is_file()
        assert all((mutants.ROOT / test).exists() for test in tests)


def test_a_file_that_is_not_chosen_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutants.main(["sim/nothing.py"]) == 2
    assert "sim/nothing.py" in capsys.readouterr().err
