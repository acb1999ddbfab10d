"""The process: instruction set, threads, idle workers, forks, what an import leaves alone."""

import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import nncore as nc
from nncore import nn, optim
from nncore._core import engine

HANGS = 120  # seconds after which a test has hung: none takes a tenth of it


def run(code, **environment):
    """A new interpreter that runs `code`: its exit code and what it printed, errors last."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=HANGS,
        env=os.environ | environment,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def answer(code, **environment):
    """What `code` prints, as JSON."""
    status, printed = run(code, **environment)
    assert status == 0, printed
    return json.loads(printed)


# ---- instruction set --------------------------------------------------------------------------


def test_an_unknown_instruction_set_is_an_error_at_import():
    status, printed = run("import nncore", NNCORE_ISA="sse9")
    assert status == 1
    assert printed.splitlines()[-1] == (
        "ValueError: NNCORE_ISA: unknown instruction set 'sse9', "
        f"expected one of {', '.join(engine.isa_names())}"
    )


CONFIG = "import json, nncore; print(json.dumps(nncore.show_config('dict')))"


@pytest.mark.parametrize("isa", engine.isa_names())
def test_the_environment_chooses_the_instruction_set(isa):
    if isa in engine.isa_available():
        assert answer(CONFIG, NNCORE_ISA=isa)["isa"] == isa
    else:
        status, printed = run(CONFIG, NNCORE_ISA=isa)
        assert status == 1
        assert f"RuntimeError: NNCORE_ISA: this CPU cannot run '{isa}'" in printed


def test_an_empty_choice_is_the_default():
    default = "avx2" if "avx2" in engine.isa_available() else "baseline"
    assert answer(CONFIG, NNCORE_ISA="")["isa"] == default


def test_every_instruction_set_computes_in_its_own_process():
    code = """
import json
import numpy as np
from nncore import nn
x = np.linspace(-1, 1, 60, dtype=np.float32).reshape(4, 15)
print(json.dumps(nn.Linear(15, 7, seed=1)(x).tolist()))
"""
    results = [np.array(answer(code, NNCORE_ISA=isa)) for isa in engine.isa_available()]
    for result in results:
        np.testing.assert_allclose(result, results[0], rtol=1e-5, atol=1e-6)


# ---- threads ----------------------------------------------------------------------------------

needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system has no CPU affinity"
)


@needs_affinity
def test_the_default_number_of_threads_follows_affinity():
    code = """
import json, os
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:{cpus}]))
import nncore
config = nncore.show_config("dict")
print(json.dumps([config["threads"], config["threads_default"]]))
"""
    for cpus in range(1, min(4, len(os.sched_getaffinity(0))) + 1):
        # A quota may allow less than affinity does, here as there.
        expected = min(cpus, engine.threads_default())
        assert answer(code.format(cpus=cpus)) == [expected, expected]


# Every process below starts so: `step()` is forward and backward of two layers, shared by workers.
WORK = """
import hashlib, json, os, signal, sys, threading, time
import numpy as np
from nncore import nn
from nncore._core import engine
engine.threads_set(4)
engine.threads_threshold_set(0)
signal.alarm(100)

def step():
    rng = np.random.default_rng(5)
    model = nn.Sequential(nn.Conv2d(2, 5, 3, seed=1), nn.Flatten(), nn.Linear(320, 200, seed=2))
    y = model(rng.standard_normal((21, 2, 10, 10)).astype(np.float32))
    model.backward(rng.standard_normal(y.shape).astype(np.float32))
    digest = hashlib.sha256(np.ascontiguousarray(y))
    for parameter in model.parameters():
        digest.update(np.ascontiguousarray(parameter.grad))
    return digest.hexdigest()

def in_child():
    "step() of a forked child, and whether workers of its own took part."
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        before = engine.threads_pieces_by_workers()
        result = step()
        alive = engine.threads_pieces_by_workers() > before
        os.write(writing, f"{result} {alive}".encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read().split()
    assert os.waitpid(child, 0)[1] == 0
    return said
"""


def test_idle_workers_take_no_cpu_time():
    code = """
step()
assert engine.threads_pieces_by_workers() > 0
time.sleep(0.1)  # they look for more work for a moment
before = time.process_time()
time.sleep(1)
print(json.dumps(time.process_time() - before))
"""
    # Three workers that spin would take most of a second each.
    assert answer(WORK + code) < 0.2


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
def test_a_child_forked_after_parallel_work_computes_the_same():
    code = """
parent = step()
children = [in_child() for _ in range(3)]
print(json.dumps([parent, children, step()]))
"""
    parent, children, again = answer(WORK + code, PYTHONWARNINGS="ignore::DeprecationWarning")
    assert again == parent
    assert children == [[parent, "True"]] * 3


@needs_fork
def test_a_child_forked_while_another_thread_computes_computes_the_same():
    code = """
expected = step()
results, done = [], threading.Event()

def compute():
    while not done.is_set():
        results.append(step())

thread = threading.Thread(target=compute)
thread.start()
children = [in_child()[0] for _ in range(5)]
done.set()
thread.join()
print(json.dumps([expected, children, sorted(set(results))]))
"""
    expected, children, results = answer(WORK + code, PYTHONWARNINGS="ignore::DeprecationWarning")
    assert children == [expected] * 5
    assert results == [expected]


def updates(seed):
    """A few updates of a network of this thread's own: loss of each, and the weights."""
    rng = np.random.default_rng(seed)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(100, 130), nn.Tanh()
    )
    model.append(nn.Linear(130, 5))
    model.reset_parameters(seed)
    loss_fn, optimizer = nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=1e-2)
    x = rng.standard_normal((17, 1, 12, 12)).astype(np.float32)
    labels = rng.integers(0, 5, 17)
    losses = []
    for _ in range(5):
        losses.append(float(loss_fn(model(x), labels)))
        model.backward(loss_fn.backward())
        optimizer.step()
        optimizer.zero_grad()
    return losses, [parameter.data.tobytes() for parameter in model.parameters()]


def together(function, arguments):
    """function of each argument, all at once on Python threads of their own."""
    start = threading.Barrier(len(arguments), timeout=HANGS)
    results = {}

    def one(i):
        start.wait()
        results[i] = function(arguments[i])

    # Daemons: one that hangs fails its test and no more.
    pool = [threading.Thread(target=one, args=[i], daemon=True) for i in range(len(arguments))]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join(HANGS)
    return [results.get(i) for i in range(len(arguments))]


def test_python_threads_with_networks_of_their_own(threads):
    seeds = [3, 4, 5, 6]
    assert together(updates, seeds) == [updates(seed) for seed in seeds]


def test_python_threads_share_a_network_in_eval_mode(threads):
    model = nn.Sequential(nn.Linear(40, 150, seed=1), nn.Sigmoid(), nn.Linear(150, 3, seed=2))
    model.eval()
    batches = [
        np.random.default_rng(i).standard_normal((11 + i, 40)).astype(np.float32) for i in range(4)
    ]
    expected = [model(x).tobytes() for x in batches]
    assert together(lambda x: [model(x).tobytes() for _ in range(20)], batches) == [
        [y] * 20 for y in expected
    ]


def test_python_threads_with_compiled_steps_of_their_own(threads):
    def losses(seed):
        rng = np.random.default_rng(seed)
        model = nn.Sequential(nn.Linear(30, 110), nn.ReLU(), nn.Linear(110, 4))
        model.reset_parameters(seed)
        step = nc.compile(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1))
        x, labels = rng.standard_normal((60, 30)).astype(np.float32), rng.integers(0, 4, 60)
        return [float(step(x, labels)) for _ in range(10)]

    seeds = [1, 2, 3]
    assert together(losses, seeds) == [losses(seed) for seed in seeds]


# ---- what an import leaves alone --------------------------------------------------------------

STATE = """
import json, locale, os, random, signal, sys, threading, warnings
import numpy as np
import numpy.random

def state():
    return {
        "signals": {s: str(signal.getsignal(s)) for s in sorted(signal.valid_signals())},
        "blocked signals": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
        "numpy errors": np.geterr(),
        "numpy random": [str(part) for part in np.random.get_state()],
        "random": str(random.getstate()),
        "warnings": [str(f) for f in warnings.filters],
        "environment": dict(os.environ),
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [],
        "threads": [threading.active_count(), count_threads()],
        "subnormals": [float(np.float32(2e-45) * np.float32(1)), float(np.float64(5e-324) * 1)],
        "print options": str(np.get_printoptions()),
        "folder": os.getcwd(),
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion": sys.getrecursionlimit(),
        "hooks": [str(sys.excepthook), str(sys.displayhook), str(threading.excepthook)],
        "path": sys.path,
    }

def count_threads():
    return len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0

before = state()
{action}
after = state()
print(json.dumps([name for name in before if before[name] != after[name]]))
"""


def test_an_import_changes_nothing_of_the_process():
    assert answer(STATE.replace("{action}", "import nncore")) == []


def test_the_state_of_the_process_is_seen_to_change():
    changes = """
signal.signal(signal.SIGUSR1, lambda *_: None)
np.seterr(over="ignore"), np.random.random(), random.random(), warnings.simplefilter("error")
os.environ["X"] = "1"
"""
    assert answer(STATE.replace("{action}", changes)) == [
        "signals",
        "numpy errors",
        "numpy random",
        "random",
        "warnings",
        "environment",
    ]


def test_shared_work_leaves_signals_subnormals_and_affinity_alone():
    """Workers are there afterwards; nothing else is new."""
    assert answer(WORK + STATE.replace("{action}", "step()")) == ["threads"]


SMALL_STACK = """
import json, threading
import numpy as np
from nncore import nn
def work():
    for dtype in (np.float32, np.float64):
        layers = nn.Linear(300, 300, dtype=dtype), nn.Conv2d(16, 16, 3, dtype=dtype)
        for layer, x in zip(layers, (np.ones((600, 300)), np.ones((8, 16, 20, 20))), strict=True):
            layer.backward(layer(x.astype(dtype)))
    done.append(True)
done = []
threading.stack_size(131072)
thread = threading.Thread(target=work)
thread.start(), thread.join()
print(json.dumps(done))
"""


@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""), reason="the address sanitizer needs more stack"
)
def test_a_thread_of_a_small_stack():
    """As large as some systems give it."""
    assert answer(SMALL_STACK) == [True]
