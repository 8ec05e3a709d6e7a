"""What both tasks' batches share: which words read the same, and the order of an epoch."""

import pytest
import torch

from sspe.training.batches import MOST_READERS, EpochSampler, readers, same_words_key


@pytest.mark.parametrize(
    ("one", "other"),
    [("A man", "the man"), ("a man", "man"), ("an apple", "Apple ."), ("a T-shirt", "the t shirt"), ("the", "the")],
)
def test_phrases_that_read_the_same(one, other):
    assert same_words_key(one) == same_words_key(other) != ""


@pytest.mark.parametrize(
    ("one", "other"), [("a man", "a woman"), ("a man", "two men"), ("the", "a"), ("man the boat", "man boat")]
)
def test_phrases_that_do_not(one, other):
    assert same_words_key(one) != same_words_key(other)


# Order of an epoch


def test_every_photo_once_an_epoch_in_another_order_each_time():
    orders = [[key for batch in EpochSampler(50, 8, seed=3, epoch=epoch) for key in batch] for epoch in (0, 1)]
    for epoch, order in enumerate(orders):
        assert sorted(order) == [(epoch, i) for i in range(50)]
    assert [i for _, i in orders[0]] != [i for _, i in orders[1]]
    assert list(EpochSampler(50, 8, 3, 0)) == list(EpochSampler(50, 8, 3, 0)) != list(EpochSampler(50, 8, 4, 0))


def test_a_resumed_epoch_goes_on_where_it_was():
    whole = list(EpochSampler(50, 8, seed=0, epoch=2))
    for start in range(len(whole) + 1):
        rest = EpochSampler(50, 8, seed=0, epoch=2, start=start)
        assert list(rest) == whole[start:] and len(rest) == len(whole) - start


@pytest.mark.parametrize("batch", [2, 8, 16])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 9, 16, 17, 31, 32, 33, 100])
def test_no_batch_of_one_photo_where_there_are_more(length, batch):
    sizes = [len(part) for part in EpochSampler(length, batch, 0, 0)]
    assert sum(sizes) == length and len(sizes) == max(length // batch, 1)  # as many as the schedule counts on
    assert max(sizes) - min(sizes) <= 1 and min(sizes) >= min(batch, length)


# Reading ahead


def test_for_a_gpu_as_many_read_as_the_machine_has_cores_to_spare(monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    found = {}
    for cores in (1, 2, 6, 64):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        found[cores] = readers(torch.device("cuda"))
        assert readers(torch.device("cpu")) == 1  # there every core is to compute
    assert found == {1: 1, 2: 1, 6: 5, 64: MOST_READERS}
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "16")  # processes on the machine that share its cores
    assert readers(torch.device("cuda")) == 3
