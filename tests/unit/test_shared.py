"""What ``make test`` leaves to ``make test-all``: every case is there, each n-th is in both."""

from __future__ import annotations

import itertools

from tests.shared import few, thorough


def test_each_nth_case_is_always_run_and_none_is_lost() -> None:
    cases = list(itertools.product("abc", (1, 2)))
    rows = few(cases, 4)
    assert [row.values for row in rows] == cases
    assert [list(row.marks) for row in rows] == [[], [thorough], [thorough], [thorough], [], [thorough]]


def test_a_case_of_one_value() -> None:
    assert [row.values for row in few(["a", "b"], 2)] == [("a",), ("b",)]
