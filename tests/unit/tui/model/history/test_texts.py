"""Long values, as bytes in few pieces of memory."""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from execwhy.tui.model.history.columns import Key
from execwhy.tui.model.history.pool import Entry, Pool
from execwhy.tui.model.history.texts import Texts

MANY = 1 << 20


class Value:
    """A place of a value, as a pool's entry is one."""

    def __init__(self) -> None:
        self.chunk: Any = None
        self.at = self.length = 0


def put(texts: Texts, data: bytes) -> Value:
    place = Value()
    texts.put(data, place)
    return place


def packed_text(number: int, size: int = 200) -> bytes:
    """A marshalled string that does not compress."""
    import marshal

    return marshal.dumps(random.Random(number).randbytes(size).hex(), 2)


def text(number: int, size: int = 200) -> str:
    return random.Random(number).randbytes(size).hex()


def test_a_value_is_what_it_was_wherever_it_lies() -> None:
    texts = Texts(MANY)
    places = [put(texts, packed_text(number)) for number in range(3000)]
    places.append(put(texts, packed_text(3000, 100_000)))
    places.append(put(texts, packed_text(3001)))
    order = random.Random(7).sample(range(3000), 200)
    assert [texts.value(places[number]) for number in order] == [text(number) for number in order]
    assert texts.value(places[3000]) == text(3000, 100_000)
    assert texts.value(places[3001]) == text(3001)


def test_values_with_common_parts_take_a_small_part_of_their_size() -> None:
    texts = Texts(64 * MANY)
    pool = Pool(texts, is_text=True)
    for number in range(2000):
        pool.take((*(f"VARIABLE_{index}=/usr/share/value/{index}" for index in range(40)), f"_={number}"))
    assert texts.nbytes / 2000 < 300, "of 1,400 bytes each"


def test_memory_is_free_again_when_the_values_are_dropped() -> None:
    texts = Texts(MANY)
    for _ in range(3):
        places = [put(texts, packed_text(number)) for number in range(3000)]
        assert texts.nbytes > 3000 * 200
        for place in places:
            texts.drop(place)
        assert texts.nbytes == 0


def test_a_value_that_stays_does_not_hold_the_memory_of_its_neighbours() -> None:
    texts = Texts(MANY)
    places = [put(texts, packed_text(number)) for number in range(20_000)]
    kept = set(range(0, 20_000, 500))
    for number, place in enumerate(places):
        if number not in kept:
            texts.drop(place)
    for _ in range(100):
        texts.tidy()
    assert texts.nbytes < len(kept) * 1000 + 3 * MANY // 64
    assert [texts.value(places[number]) for number in sorted(kept)] == [text(n) for n in sorted(kept)]


atoms = st.none() | st.booleans() | st.integers() | st.text(st.characters(), max_size=9)
keys = st.recursive(atoms, lambda parts: st.lists(parts, max_size=4).map(tuple), max_leaves=12)


@settings(deadline=None)
@given(st.lists(st.tuples(keys, st.sampled_from([1, 400]), st.booleans()), max_size=30))
def test_a_pool_gives_back_what_it_was_given(steps: list[tuple[Key, int, bool]]) -> None:
    texts = Texts(1)
    pool = Pool(texts)
    taken: list[tuple[Entry, Key]] = []
    for key, times, release in steps:
        if release and taken:
            entry, was = taken.pop(0)
            assert entry.value == was
            pool.release((entry,))
            texts.tidy()
        long = (key, *("x" * 9 for _ in range(times)))
        taken.append((pool.take(long), long))
        assert pool.take(long) is taken[-1][0]
        pool.release((taken[-1][0],))
    for entry, key in taken:
        assert (entry.value, type(entry.value)) == (key, type(key))
    for entry, _ in taken:
        pool.release((entry,))
    assert (pool.nbytes, texts.nbytes) == (0, 0)


def test_texts_that_differ_in_how_they_are_cut_are_different() -> None:
    pool = Pool(Texts(MANY), is_text=True)
    different: list[tuple[str | None, ...]] = [
        (), ("",), ("", ""), (None,), (None, None), ("a", "b"), ("b", "a"), ("ab",), ("a\0b",), ("a", None),
        ("\udc80",), ("\ud800",), ("a", "b", "a"), ("a", "a"),
    ]  # fmt: skip
    entries = [pool.take(key) for key in different]
    assert len({entry.slot for entry in entries}) == len(different)
    assert [entry.value for entry in entries] == different
