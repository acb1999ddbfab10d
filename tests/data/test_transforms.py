"""Transforms of images: what they do, and that the seed decides."""

import numpy as np
import pytest

from nncore.data import transforms


def images(dtype=np.float32, shape=(6, 2, 7, 5)):
    return np.random.default_rng(1).uniform(0.1, 1, shape).astype(dtype)


RANDOM = [
    transforms.RandomCrop((4, 3)),
    transforms.RandomCrop((7, 5), padding=2),
    transforms.RandomShift((1, 2)),
    transforms.RandomHorizontalFlip(),
    transforms.RandomVerticalFlip(),
    transforms.RandomRotation(30.0),
]


@pytest.mark.parametrize("transform", RANDOM, ids=repr)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_the_seed_decides_and_x_is_left_alone(transform, kind):
    x = images(kind)
    before = x.copy()
    y = transform(x, seed=1, epoch=2)
    np.testing.assert_array_equal(x, before)
    assert y.dtype == kind
    np.testing.assert_array_equal(y, transform(x, seed=1, epoch=2))
    others = [transform(x, seed=1, epoch=e) for e in range(3, 8)]
    assert any(not np.array_equal(y, other) for other in others)


def test_crop_is_a_window_of_the_padded_image():
    x = images()
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    for image, whole in zip(
        transforms.RandomCrop((6, 5), padding=2)(x, seed=3), padded, strict=True
    ):
        windows = [whole[:, i : i + 6, j : j + 5] for i in range(6) for j in range(5)]
        assert any(np.array_equal(image, window) for window in windows)
    assert transforms.RandomCrop(3)(x).shape == (6, 2, 3, 3)
    with pytest.raises(ValueError, match=r"size \(8, 8\) is larger than the padded images, 7x5"):
        transforms.RandomCrop(8)(x)


def test_crop_places_are_equally_likely():
    x = np.broadcast_to(np.arange(4.0).reshape(1, 1, 1, 4), (6000, 1, 1, 4)).astype(np.float32)
    counts = np.bincount(transforms.RandomCrop((1, 1))(x)[:, 0, 0, 0].astype(int), minlength=4)
    assert np.all(np.abs(counts - 1500) < 200)


def test_shift_by_nothing_and_by_something():
    x = images()
    np.testing.assert_array_equal(transforms.RandomShift(0)(x), x)
    shift = transforms.RandomShift((1, 0))
    for image, given in zip(shift(x, seed=2), x, strict=True):
        zeros = np.zeros_like(given[:, :1])
        moved = [
            given,
            np.concatenate([zeros, given[:, :-1]], axis=1),
            np.concatenate([given[:, 1:], zeros], axis=1),
        ]
        assert any(np.array_equal(image, other) for other in moved)


def test_flips():
    x = images()
    np.testing.assert_array_equal(transforms.RandomHorizontalFlip(1.0)(x), x[..., ::-1])
    np.testing.assert_array_equal(transforms.RandomVerticalFlip(1.0)(x), x[:, :, ::-1])
    np.testing.assert_array_equal(transforms.RandomHorizontalFlip(0.0)(x), x)
    many = transforms.RandomHorizontalFlip(0.25)(images(shape=(4000, 1, 1, 2)))
    turned = np.mean(many[:, 0, 0, 0] != images(shape=(4000, 1, 1, 2))[:, 0, 0, 0])
    assert abs(turned - 0.25) < 0.03


def test_rotation_by_right_angles_and_by_nothing():
    x = images(np.float64, (1, 2, 5, 5))
    turn = transforms.RandomRotation(90.0)
    np.testing.assert_allclose(turn.apply(x, np.array([[1.0]])), np.rot90(x, 1, (2, 3)), atol=1e-12)
    np.testing.assert_allclose(turn.apply(x, np.array([[0.5]])), x, atol=1e-12)
    np.testing.assert_allclose(
        turn.apply(x, np.array([[0.0]])), np.rot90(x, -1, (2, 3)), atol=1e-12
    )


def test_rotation_brings_in_zeros():
    y = transforms.RandomRotation(45.0).apply(np.ones((1, 1, 9, 9)), np.array([[1.0]]))
    assert y[0, 0, 0, 0] == 0
    assert y[0, 0, 4, 4] == 1


def test_normalize():
    x = images()
    np.testing.assert_allclose(transforms.Normalize(0.5, 2.0)(x), (x - 0.5) / 2, rtol=1e-6)
    by_channel = transforms.Normalize([0.5, 0.25], [2.0, 4.0])(x)
    np.testing.assert_allclose(by_channel[:, 1], (x[:, 1] - 0.25) / 4, rtol=1e-6)
    assert by_channel.dtype == np.float32
    with pytest.raises(ValueError, match=r"mean has shape \(3,\), x has shape"):
        transforms.Normalize([1, 2, 3], 1)(x)
    with pytest.raises(ValueError, match="std must be positive"):
        transforms.Normalize(0, 0)


def test_composed_transforms_have_draws_of_their_own():
    x = images(shape=(300, 1, 3, 3))
    both = transforms.Compose(transforms.RandomHorizontalFlip(), transforms.RandomVerticalFlip())
    y = both(x)
    sides = np.any(y != x, axis=(1, 2, 3))
    ways = {
        (np.array_equal(a, b[..., ::-1]), np.array_equal(a, b[:, ::-1]))
        for a, b, s in zip(y, x, sides, strict=True)
        if s
    }
    assert len(ways) == 3  # one, the other, both
    with pytest.raises(TypeError, match="transform 0 must be"):
        transforms.Compose(3)


def test_one_hot():
    np.testing.assert_array_equal(transforms.OneHot(3)(np.array([1, 0])), [[0, 1, 0], [1, 0, 0]])
    with pytest.raises(IndexError, match="label 3 in row 1, expected 0 to 2"):
        transforms.OneHot(3)(np.array([0, 3]))
    with pytest.raises(TypeError, match="expected integers"):
        transforms.OneHot(3)(np.array([0.5]))


@pytest.mark.parametrize(
    "make",
    [
        lambda: transforms.RandomCrop(0),
        lambda: transforms.RandomCrop(3, padding=-1),
        lambda: transforms.RandomShift(-1),
        lambda: transforms.RandomHorizontalFlip(1.5),
        lambda: transforms.RandomRotation(float("nan")),
        lambda: transforms.RandomShift(1)(np.zeros((3, 4), np.float32)),
        lambda: transforms.RandomHorizontalFlip()(np.zeros((1, 1, 2, 2), np.uint8)),
    ],
)
def test_bad_arguments(make):
    with pytest.raises(ValueError, match=r"must be|expected floats"):
        make()
