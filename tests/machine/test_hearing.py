"""How much was heard of each item, as numbers."""

from __future__ import annotations

import pytest

from convsm.machine.hearing import cut_items, hear

PIECES = [(1, "a", 10), (2, "a", 20), (3, "b", 5)]


@pytest.mark.parametrize(
    ("through", "beyond", "cut"),
    [
        (0, 0, [("a", 0), ("b", 0)]),
        (0, 4, [("a", 4), ("b", 0)]),
        (1, 0, [("a", 10), ("b", 0)]),
        (1, 7, [("a", 17), ("b", 0)]),
        (1, 10**30, [("a", 30), ("b", 0)]),
        (1, -(10**30), [("a", 10), ("b", 0)]),
        (2, 0, [("b", 0)]),
        (2, 4, [("b", 4)]),
        (3, 0, []),
        (9, 9, []),
    ],
)
def test_of_each_item_that_is_cut_what_was_heard_is_counted_to_the_byte(through, beyond, cut):
    unheard, heard = list(PIECES), dict[str, int]()
    hear(unheard, heard, through)
    assert list(cut_items(unheard, heard, beyond, None)) == cut


def test_an_item_that_is_still_generated_is_cut_even_where_all_that_came_was_heard():
    unheard, heard = list(PIECES), dict[str, int]()
    hear(unheard, heard, 3)
    assert list(cut_items(unheard, heard, 0, "b")) == [("b", 5)]
    assert list(cut_items(unheard, heard, 0, "c")) == []


def test_pieces_that_take_turns_are_counted_each_for_its_own_item():
    unheard, heard = [(1, "a", 1), (2, "b", 2), (3, "a", 4), (4, "b", 8)], dict[str, int]()
    hear(unheard, heard, 2)
    hear(unheard, heard, 3)
    assert list(cut_items(unheard, heard, 1, None)) == [("b", 3)]
    assert heard == {"a": 5, "b": 2}
