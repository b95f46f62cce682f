"""Kept answers: asked once for all, forgotten when there is news, never a stale failure."""

from __future__ import annotations

import threading
from collections.abc import Hashable

import pytest

from snapshot_assets.dashboard.memo import Memo
from snapshot_assets.errors import StoreOutageError


class Store:
    """Has news, counts questions, and can be made slow or wrong."""

    def __init__(self) -> None:
        self.news: Hashable = 1
        self.now = 0.0
        self.asked = 0
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.memo = Memo(lambda: self.news, lambda: self.now)

    def answer(self) -> int:
        self.asked += 1
        self.gate.wait(10)
        if self.failure:
            raise self.failure
        return self.asked

    def ask(self, question: Hashable = "overview") -> int:
        return self.memo.answer(question, self.answer)


def test_the_same_question_is_computed_once_until_there_is_news() -> None:
    store = Store()
    assert [store.ask() for _ in range(3)] == [1, 1, 1]
    assert store.ask("users") == 2
    store.news = 2
    assert [store.ask() for _ in range(2)] == [3, 3]


def test_an_answer_is_not_kept_for_long_without_news_either() -> None:
    store = Store()
    assert store.ask() == 1
    store.now = 59
    assert store.ask() == 1
    store.now = 61
    assert store.ask() == 2


def in_threads(store: Store, count: int) -> list[int | Exception]:
    found: list[int | Exception] = []

    def one() -> None:
        try:
            found.append(store.ask())
        except StoreOutageError as error:
            found.append(error)

    threads = [threading.Thread(target=one) for _ in range(count)]
    for thread in threads:
        thread.start()
    store.gate.set()
    for thread in threads:
        thread.join(10)
    return found


def test_whoever_asks_meanwhile_waits_for_the_first() -> None:
    store = Store()
    store.gate.clear()
    assert in_threads(store, 8) == [1] * 8
    assert store.asked == 1


def test_a_failure_is_raised_for_all_who_wait_and_then_forgotten() -> None:
    store = Store()
    store.gate.clear()
    store.failure = StoreOutageError("gone")
    found = in_threads(store, 8)
    assert all(isinstance(each, StoreOutageError) for each in found)
    assert len(found) == 8
    store.failure = None
    before = store.asked
    assert store.ask() == before + 1


def test_without_the_store_each_asks_for_itself() -> None:
    store = Store()
    assert store.ask() == 1
    store.news = StoreOutageError("gone")
    store.failure = StoreOutageError("gone")
    with pytest.raises(StoreOutageError):
        store.ask()
    store.failure, store.news = None, 1
    assert store.ask() == 1, "what was kept is still what the store has"


def test_the_oldest_answers_go() -> None:
    store = Store()
    for i in range(25):
        assert store.ask(i) == i + 1
    assert store.ask(24) == 25
    assert store.ask(0) == 26
