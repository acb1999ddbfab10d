"""DataLoader and ArrayDataset: which samples come, when, and what becomes of them."""

import threading

import numpy as np
import pytest

from nncore.data import ArrayDataset, DataLoader, transforms


def images(count=10, dtype=np.float32, channels=2):
    values = np.random.default_rng(0).uniform(0, 1, (count, channels, 5, 4))
    return (values * 255).astype(np.uint8) if dtype == np.uint8 else values.astype(dtype)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_every_sample_once_an_epoch_in_the_order_of_the_seed(workers, drop_last):
    x, y = images(10), np.arange(10)
    loader = DataLoader((x, y), 4, shuffle=True, seed=3, workers=workers, drop_last=drop_last)
    assert len(loader) == (2 if drop_last else 3)
    first, second = list(loader), list(loader)
    assert len(first) == len(loader)
    rows = np.concatenate([labels for _, labels in first])
    if not drop_last:
        assert sorted(rows) == list(range(10))
    np.testing.assert_array_equal(np.concatenate([batch for batch, _ in first]), x[rows])
    assert [list(labels) for _, labels in first] != [list(labels) for _, labels in second]
    again = DataLoader((x, y), 4, shuffle=True, seed=3, drop_last=drop_last)
    again.epoch = 1
    for (a, b), (c, d) in zip(second, again, strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


def test_goes_on_within_an_epoch():
    loader = DataLoader((images(), np.arange(10)), 3, shuffle=True, seed=1)
    whole = list(loader.batches(5))
    for (a, b), (c, d) in zip(whole[2:], loader.batches(5, first=2), strict=True):
        np.testing.assert_array_equal(a, c)
        np.testing.assert_array_equal(b, d)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["first", "last", "strided"])
def test_bytes_stay_bytes_and_are_scaled_as_they_are_taken(dtype, order):
    x = images(7, np.uint8)
    if order == "last":
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    elif order == "strided":
        x = np.repeat(x, 2, axis=3)[..., ::2]
    dataset = ArrayDataset(x, np.arange(7), dtype=dtype)
    assert dataset.x.dtype == np.uint8
    batch, labels = dataset.take([6, 0, 6])
    np.testing.assert_array_equal(batch, x[[6, 0, 6]].astype(dtype) / dtype(255))
    assert batch.dtype == dtype
    assert list(labels) == [6, 0, 6]
    one, label = dataset[-1]
    np.testing.assert_array_equal(one, x[6].astype(dtype) / dtype(255))
    assert label == 6
    np.testing.assert_array_equal(dataset[1:4][1], [1, 2, 3])


def test_rows_that_are_not_there():
    dataset = ArrayDataset(images(4), np.arange(4))
    with pytest.raises(IndexError, match=r"order\[1\] is 4, expected 0 to 3"):
        dataset.take([0, 4])
    with pytest.raises(IndexError, match="sample 4 of 4"):
        dataset[4]
    with pytest.raises(IndexError):
        dataset.take([-1])


def test_any_object_with_length_and_samples():
    class Squares:
        def __len__(self):
            return 5

        def __getitem__(self, i):
            return np.full(3, float(i)), i * i

    batches = list(DataLoader(Squares(), 2))
    assert [list(y) for _, y in batches] == [[0, 1], [4, 9], [16]]
    assert batches[2][0].shape == (1, 3)


def test_without_targets_batches_are_x_alone():
    for dataset in (ArrayDataset(images(3)), images(3)):
        (batch,) = DataLoader(dataset, 8)
        np.testing.assert_array_equal(batch, images(3))


def test_transforms_do_not_depend_on_workers_batches_or_order():
    x, y = images(12), np.arange(12)
    transform = transforms.Compose(
        transforms.RandomShift(2), transforms.RandomHorizontalFlip(), lambda batch: batch * 2
    )

    def by_row(**options):
        result = np.empty_like(x)
        for batch, rows in DataLoader((x, y), seed=5, transform=transform, **options):
            result[rows] = batch
        return result

    reference = by_row(batch_size=12)
    assert not np.array_equal(reference, x * 2)
    np.testing.assert_array_equal(by_row(batch_size=5, workers=3), reference)
    np.testing.assert_array_equal(by_row(batch_size=1, shuffle=True), reference)


def test_targets_are_transformed():
    (_, y), *_ = DataLoader((images(3), [2, 0, 1]), 3, target_transform=transforms.OneHot(3))
    np.testing.assert_array_equal(y, [[0, 0, 1], [1, 0, 0], [0, 1, 0]])


def test_workers_end_with_the_loop_and_tell_errors():
    def fail(_batch):
        raise RuntimeError("a transform that fails")

    before = threading.active_count()
    for _ in DataLoader((images(), np.arange(10)), 1, workers=3):
        break
    with pytest.raises(RuntimeError, match="a transform that fails"):
        list(DataLoader((images(), np.arange(10)), 2, transform=fail, workers=2))
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": 2.0}, TypeError, "batch_size must be an integer"),
        ({"workers": -1}, ValueError, "workers must be at least 0"),
        ({"seed": "1"}, TypeError, "seed must be an integer"),
        ({"transform": 3}, TypeError, "transform must be callable"),
    ],
)
def test_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        DataLoader((images(), np.arange(10)), **arguments)


def test_sets_that_are_none():
    with pytest.raises(TypeError, match="dataset must have a length"):
        DataLoader(iter([]))
    with pytest.raises(ValueError, match="x has 3 samples, y has shape"):
        ArrayDataset(images(3), [1, 2])
    with pytest.raises(TypeError, match=r"scale it|convert it"):
        ArrayDataset(np.zeros((3, 2), np.int64), [1, 2, 3])
    with pytest.raises(TypeError, match="dtype must be float32 or float64"):
        ArrayDataset(images(3), dtype=np.float16)


def test_empty_set():
    loader = DataLoader((np.zeros((0, 3), np.float32), np.zeros(0, np.int64)), 4, shuffle=True)
    assert len(loader) == 0
    assert list(loader) == []
