"""Transfer learning: a body that has learned the digits 0 to 4 helps to tell 5 to 9 apart.

    python docs/examples/transfer.py                # MNIST, about a minute; --quick: digits of 8x8

With a few samples of each new class, three ways: a network from scratch; the old body, frozen, with
a new head; the same, then both trained on together at a low rate (fine-tuning). The frozen body's
features are computed once, so its head is trained in no time.

Sources: Yosinski, Clune, Bengio and Lipson, "How transferable are features in deep neural
networks?" (2014).
"""

import argparse
import copy

import numpy as np

import nncore as nc
from nncore import data, nn, optim

WAYS = ("from scratch", "frozen body", "fine-tuned")
STYLES = (("#d55e00", "o", ":"), ("#0072b2", "s", "-"), ("#009e73", "^", "--"))


def network(side):
    """The convolutions of the lecture notes' network, and a head for five classes."""
    if side == 8:
        body, count = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)], 16 * 4 * 4
    else:
        body = [
            *(nn.Conv2d(1, 12, 5), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(12, 24, 3), nn.ReLU(), nn.MaxPool2d(2)),
        ]
        count = 24 * 5 * 5
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(count, 5))


def fit(model, groups, x, y, epochs, seed, batch_size=32):
    trainer = nc.Trainer(model, nn.CrossEntropyLoss(), optim.Adam(groups), seed=seed)
    trainer.fit(x, y, epochs=epochs, batch_size=batch_size, verbose=0)


def accuracy(model, test):
    return nc.Trainer(model, nn.CrossEntropyLoss()).evaluate(*test).accuracy


def few(x, y, count, seed):
    """`count` samples of each class."""
    stream = np.random.default_rng(seed)
    rows = [stream.choice(np.flatnonzero(y == c), count, replace=False) for c in np.unique(y)]
    rows = np.concatenate(rows)
    return x[rows], y[rows]


def three_ways(trained, train, test, count, seed, epochs):
    """Accuracies on the new classes of the three ways, with `count` samples of each class."""
    x, y = few(*train, count, seed)

    scratch = network(x.shape[-1])
    scratch.reset_parameters(seed)
    fit(scratch, [{"params": scratch.parameters(), "lr": 2e-3}], x, y, epochs, seed)

    model = copy.deepcopy(trained)
    model[-1] = nn.Linear(trained[-1].in_features, 5, seed=seed)
    model[:-1].freeze()
    seen = nn.utils.features(model[:-1], x)  # once: the body does not change
    fit(model[-1], [{"params": model[-1].parameters(), "lr": 2e-3}], seen, y, epochs, seed)
    frozen = accuracy(model, test)

    model.unfreeze()
    groups = [
        {"params": model[:-1].parameters(), "lr": 3e-4},
        {"params": model[-1].parameters(), "lr": 1e-3},
    ]
    fit(model, groups, x, y, epochs, seed)
    return accuracy(scratch, test), frozen, accuracy(model, test)


def experiment(split, counts, *, body_epochs, epochs, repeats):
    """The body's accuracy on the old classes; for each count and way, the means over repeats."""
    old, new = [], []
    for x, y in split:
        old.append((x[y < 5], y[y < 5]))
        new.append((x[y >= 5], y[y >= 5] - 5))
    body = network(split[0][0].shape[-1])
    body.reset_parameters(0)
    fit(body, [{"params": body.parameters(), "lr": 2e-3}], *old[0], body_epochs, 0, 64)
    results = np.array(
        [
            np.mean([three_ways(body, *new, n, seed, epochs) for seed in range(repeats)], axis=0)
            for n in counts
        ]
    )
    return accuracy(body, old[1]), results


def table(counts, results):
    lines = [f"{'samples a class':>15}" + "".join(f"{way:>14}" for way in WAYS)]
    for count, row in zip(counts, results, strict=True):
        lines.append(f"{count:>15}" + "".join(f"{value:>14.1%}" for value in row))
    return "\n".join(lines)


def draw(counts, results, file):
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    for way, values, (colour, marker, line) in zip(WAYS, results.T, STYLES, strict=True):
        ax.plot(counts, 100 * values, line, marker=marker, color=colour, label=way)
    ax.set_xscale("log")
    ax.set_xticks(counts, [str(count) for count in counts])
    ax.minorticks_off()
    ax.set_xlabel("training samples of each new class")
    ax.set_ylabel("accuracy on the test set, %")
    ax.set_title("New digits 5 to 9, body trained on 0 to 4", fontsize=11)
    ax.grid(alpha=0.3)
    ax.legend()
    figure.savefig(file, dpi=90)
    plt.close(figure)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the digits of 8x8, seconds")
    parser.add_argument("--out", default="transfer.png", help="the picture (default: %(default)s)")
    options = parser.parse_args(arguments)
    if options.quick:
        split, counts = data.load_digits(), (5, 20)
        numbers = {"body_epochs": 8, "epochs": 20, "repeats": 2}
    else:
        split, counts = data.load_mnist(), (10, 50, 500)
        numbers = {"body_epochs": 3, "epochs": 40, "repeats": 5}
    body, results = experiment(split, counts, **numbers)
    print(f"body on its own digits, 0 to 4: {body:.1%}")
    print(table(counts, results))
    draw(counts, results, options.out)
    print(f"picture: {options.out}")
    return results


if __name__ == "__main__":
    main()
