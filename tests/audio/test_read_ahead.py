"""Which clips are fetched before they are asked for."""

from __future__ import annotations

import random
import threading

import pytest

from histfs.audio.read_ahead import ReadAhead
from histfs.audio.reading_orders import ReadingOrders
from histfs.core.errors import CacheFailed
from histfs.core.index import Listed
from histfs.core.listed_directories import ListedDirectories, ListedDirectory
from tests.support.memory import MemorySource, record

PLENTY = 1 << 30
MOST = 16


class World:
    """Clips with two voices in turn, and what was fetched of them.

    They are numbered by their dates, and where several are of one second in the order of their
    names, in which their keys are shuffled.
    """

    def __init__(self, clips=200, room=PLENTY, per_second=1):
        keys = list(range(clips))
        random.Random(1).shuffle(keys)
        self.source = MemorySource(
            record(
                f"{n if per_second == 1 else keys[n]:03}",
                n // per_second,
                text=f"number {n:03}",
                voice="ab"[n % 2],
                voice_name="AB"[n % 2],
            )
            for n in range(clips)
        )
        items = [row.item for row in self.source.records()]
        self.items = sorted(items, key=lambda item: (item.date, item.slug))
        self.numbers = {item.key: number for number, item in enumerate(self.items)}
        self.fetched = []
        self.lookups = 0
        self.allowed = True
        self.directories = ListedDirectories()
        self.ahead = ReadAhead(
            ReadingOrders(
                self.following,
                self.orders,
                self.preceding,
                self.directories,
                self.source.find,
            ),
            self.fetch,
            size_of=lambda item: item.estimate,
            max_clips=MOST,
            max_bytes=room,
        )

    def following(self, item, order, number):
        self.lookups += 1
        return self.source.following(item, order, number)

    def preceding(self, item, order, number):
        self.lookups += 1
        return self.source.preceding(item, order, number)

    def list(self, *numbers, names=None, path=("view", "directory")):
        """List a directory of these clips, whose names are in this order unless others are told."""
        items = (self.items[number] for number in numbers)
        listed = [Listed(item.date, item.key, item.slug) for item in items]
        names = names or [f"{place:03}" for place in range(len(listed))]
        self.directories.note(path, ListedDirectory(names, listed))

    def orders(self, item):
        return [order for order in self.source.orders(item) if order[0] in ("voice", "source")]

    def fetch(self, item):
        self.fetched.append(self.numbers[item.key])

    def use(self, *numbers):
        """Use clips, and return which ones were fetched for it, of each."""
        fetched = []
        for number in numbers:
            self.fetched = []
            self.ahead.used(self.items[number], lambda: self.allowed)
            fetched.append(self.fetched)
        return fetched

    def use_all(self, *numbers):
        """The same, all together."""
        return [number for fetched in self.use(*numbers) for number in fetched]


@pytest.fixture
def world():
    return World()


def test_one_clip_fetches_no_other(world):
    assert world.use(5, 5, 5) == [[], [], []]


def test_clips_here_and_there_fetch_nothing(world):
    assert not any(world.use(5, 100, 60, 150, 20, 190, 40))


def test_the_one_after_fetches_two_and_the_next_twice_as_many(world):
    assert world.use(5, 6, 7, 8) == [[], [7, 8], [9, 10, 11], [12, 13, 14, 15, 16]]


def test_the_window_grows_no_further_than_it_may(world):
    fetched = world.use_all(*range(5, 60))
    assert max(fetched) == 59 + MOST
    assert sorted(fetched) == list(range(7, 60 + MOST)), "each clip once"


def test_a_run_looks_its_order_up_by_the_dozen(world):
    world.use(*range(100))
    assert world.lookups < 15


def test_the_clips_of_one_voice_are_followed_by_those_of_that_voice(world):
    assert world.use(4, 6, 8, 10) == [[], [], [10, 12], [14, 16, 18]]


def test_after_a_dialogue_the_clips_of_any_of_its_voices_may_be_next(world):
    world.source.add(record("006", 6, voice=("b", "a")))
    assert world.use(6, 10, 12) == [[], [], [14, 16]]
    assert world.use(106, 108, 110) == [[], [], [112, 114]]
    world.source.add(record("066", 66, voice=("b", "a")))
    assert world.use(66, 69, 71) == [[], [], [73, 75]]


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_program_that_skips_clips_is_followed_in_its_steps(world, step):
    fetched = world.use_all(*range(5, 150, step))
    assert len(fetched) > 20
    assert {number % step for number in fetched} == {5 % step}


def test_what_is_read_here_and_there_nearby_is_not_guessed(world):
    numbers = [5]
    for step in [3, 1, 4, 2, 4, 3, 1, 4] * 3:
        numbers.append(numbers[-1] + step)
    assert not world.use_all(*numbers)


def test_the_steps_may_change(world):
    world.use(*range(0, 30))
    world.use(*range(30, 90, 3))
    assert {number % 3 for number in world.use_all(*range(90, 120, 3))} == {0}
    world.use(*range(120, 140))
    assert {number % 3 for number in world.use_all(*range(140, 160))} == {0, 1, 2}


@pytest.mark.parametrize("per_second", [2, 10, 30])
@pytest.mark.parametrize("step", [1, 3])
def test_clips_of_one_second_are_followed_in_the_order_of_their_names(per_second, step):
    world = World(per_second=per_second)
    fetched = world.use_all(*range(5, 200, step))
    assert {number % step for number in fetched} == {5 % step}
    assert len(set(fetched)) > 175 / step


@pytest.mark.parametrize("per_second", [2, 10, 30])
def test_clips_of_one_second_are_followed_in_the_order_in_which_they_are_listed(per_second):
    world = World(per_second=per_second)
    world.items.sort(key=lambda item: (item.date, item.key))
    assert len(set(world.use_all(*range(5, 200)))) > 175


def test_an_item_that_gets_another_date_meanwhile_does_no_harm(world):
    world.use(*range(0, 20))
    moved = world.items.pop(40)
    world.source.add(record(moved.key, 70, voice=("a", "b")))
    assert 150 in world.use_all(*range(20, 150))


def test_of_a_dialogue_of_a_hundred_voices_few_orders_are_looked_up(world):
    world.source.add(record("006", 6, voice=[f"v{n}" for n in range(100)]))
    world.use(6, 7)
    assert world.lookups < 40


def test_another_voice_in_turn_makes_it_a_run_by_date(world):
    world.use(4, 6)
    assert any(number % 2 for number in world.use_all(7, 8, 9))


def test_the_window_narrows_when_what_was_fetched_is_passed_over(world):
    world.use(*range(5, 30))
    spans = [len(fetched) for fetched in world.use(*range(30, 160, 10))]
    assert sum(spans[-3:]) <= 3 * 4


def test_who_reads_with_several_hands_is_followed_all_the_same(world):
    """Four transfers at once use clips nearly in their order."""
    order = list(range(5, 100))
    shuffled = random.Random(0)
    for start in range(0, len(order), 4):
        part = order[start : start + 4]
        shuffled.shuffle(part)
        order[start : start + 4] = part
    fetched = world.use_all(*order)
    assert len(set(fetched)) > 80


def test_two_programs_at_once_have_runs_of_their_own(world):
    for step in range(10):
        last = world.use(5 + step, 120 + step)
    assert min(last[0]) > 15
    assert min(last[1]) > 130


def test_nothing_is_fetched_for_a_crawler(world):
    world.allowed = False
    assert not any(world.use(*range(5, 10)))


def test_a_catalog_that_fails_fails_no_reader(world):
    def fail(*_):
        raise CacheFailed("the catalog can't be read")

    world.ahead = ReadAhead(
        ReadingOrders(fail), fail, size_of=fail, max_clips=MOST, max_bytes=PLENTY
    )
    assert not any(world.use(*range(5, 10)))


def test_no_reader_waits_for_what_another_one_looks_up(world):
    reached, go_on = threading.Event(), threading.Event()
    look_up = world.source.following

    def held(*arguments):
        reached.set()
        assert go_on.wait(10)
        return look_up(*arguments)

    world.use(5)
    world.source.following = held
    first = threading.Thread(target=world.use, args=(6,))
    first.start()
    assert reached.wait(10)
    asked = []
    for number in range(7, 20):
        world.ahead.used(world.items[number], lambda: not asked.append(threading.get_ident()))
    assert set(asked) == {threading.get_ident()}, "who may fetch is a question for its own thread"
    assert not world.fetched
    go_on.set()
    first.join(10)
    assert max(world.fetched) == 19 + MOST, "what was left is followed all the same"
    world.source.following = look_up
    assert world.use(20) == [[20 + MOST]]


def test_after_a_fault_clips_are_followed_again(world):
    def fail(*_):
        raise ZeroDivisionError

    look_up, world.source.following = world.source.following, fail
    world.use(5)
    with pytest.raises(ZeroDivisionError):
        world.use(6)
    world.source.following = look_up
    assert world.use(100, 101) == [[], [102, 103]]


def test_no_more_is_fetched_than_there_is_room_for():
    world = World(room=3 * record("a", 0).item.estimate)
    fetched = world.use(*range(5, 60))
    assert max(map(len, fetched)) <= 3
    assert all(max(some) <= 5 + n + 3 for n, some in enumerate(fetched) if some)


def test_the_last_clip_is_followed_by_none(world):
    world.use(*range(190, 199))
    assert world.use(199) == [[]]


def test_three_steps_backwards_are_followed_backwards(world):
    assert world.use(105, 104, 103, 102, 101) == [[], [], [], [101, 100], [99, 98, 97]]
    fetched = world.use_all(*range(100, 60, -1))
    assert min(fetched) == 61 - MOST
    assert sorted(fetched) == list(range(61 - MOST, 97)), "each clip once"


def test_two_steps_backwards_are_no_reason(world):
    assert not world.use_all(105, 104, 103)
    assert not world.use_all(55, 54, 53)


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_program_that_skips_clips_backwards_is_followed_in_its_steps(world, step):
    fetched = world.use_all(*range(190, 50, -step))
    assert len(fetched) > 20
    assert {number % step for number in fetched} == {190 % step}


def test_the_clips_of_one_voice_are_followed_backwards_by_those_of_that_voice(world):
    assert world.use(104, 102, 100, 98, 96)[3:] == [[96, 94], [92, 90, 88]]


@pytest.mark.parametrize("per_second", [2, 10, 30])
def test_clips_of_one_second_are_followed_backwards_in_the_order_of_their_names(per_second):
    world = World(per_second=per_second)
    assert len(set(world.use_all(*range(195, 0, -1)))) > 195 - per_second - 8


@pytest.mark.parametrize("per_second", [2, 10, 30])
def test_clips_of_one_second_are_followed_backwards_in_the_order_of_the_listing(per_second):
    world = World(per_second=per_second)
    world.items.sort(key=lambda item: (item.date, item.key))
    assert len(set(world.use_all(*range(195, 0, -1)))) > 195 - per_second - 8


def test_two_programs_that_go_backwards_at_once_have_runs_of_their_own(world):
    for step in range(12):
        last = world.use(105 - step, 180 - step)
    assert last[0]
    assert max(last[0]) < 94
    assert max(last[1]) < 169


def test_what_is_read_at_random_is_not_followed(world):
    numbers = list(range(0, 200))
    random.Random(7).shuffle(numbers)
    assert len(world.use_all(*numbers[:100])) <= 8


def test_a_directory_is_followed_in_the_order_of_its_listing(world):
    numbers = random.Random(3).sample(range(200), 60)
    world.list(*numbers)
    fetched = world.use_all(*numbers[:30])
    assert fetched == numbers[2 : 30 + MOST]


def test_a_directory_is_followed_in_the_order_of_its_names(world):
    numbers = random.Random(3).sample(range(200), 60)
    world.list(*sorted(numbers), names=[f"{numbers.index(n):03}" for n in sorted(numbers)])
    assert world.use_all(*numbers[:30]) == numbers[2 : 30 + MOST]


def test_a_directory_is_followed_backwards(world):
    numbers = random.Random(3).sample(range(200), 60)
    world.list(*numbers)
    numbers.reverse()
    assert world.use_all(*numbers[:30]) == numbers[4 : 30 + MOST]


def test_a_directory_ends_with_its_last_clip(world):
    world.list(*range(50, 150, 5))
    assert max(world.use_all(*range(50, 150, 5))) == 145


def test_what_is_gone_from_a_directory_is_passed_over(world):
    numbers = random.Random(3).sample(range(200), 60)
    world.list(*numbers)
    gone = numbers.pop(20)
    world.source.discard(world.items[gone].id)
    assert world.use_all(*numbers[:40]) == numbers[2 : 40 + MOST]


def test_directories_are_followed_one_after_another_once_the_first_was_left(world):
    """Not at its end: it may be all that the program reads."""
    numbers = random.Random(3).sample(range(200), 60)
    for start in range(0, 60, 6):
        world.list(*numbers[start : start + 6], path=("view", str(start)))
    world.list(*range(100), path=("other view", "directory"))
    assert world.use_all(*numbers[:6]) == numbers[2:6]
    world.list(*numbers[:6], path=("view", "0"))  # by another program
    fetched = world.use_all(*numbers[6:])
    assert fetched == numbers[7:]


def test_a_program_that_lists_a_directory_just_before_it_reads_it_is_followed(world):
    numbers = random.Random(3).sample(range(200), 60)
    for start in range(0, 60, 6):
        world.list(*numbers[start : start + 6], path=("view", str(start)))
        fetched = world.use_all(*numbers[start : start + 6])
        assert fetched == numbers[start + (1 if start else 2) : start + 6]
