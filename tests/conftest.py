"""The axes that all tests share (instruction set, dtype, threads), and their random numbers."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from nncore._core import engine

# The same examples in every run: what fails here fails everywhere; `--hypothesis-profile=explore`
# looks further. The examples of one test may share its fixtures: they are axes, not state.
settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("explore", settings.get_profile("repeatable"), derandomize=False)
settings.load_profile("repeatable")


@pytest.fixture(params=engine.isa_available())
def isa(request):
    """Every instruction set that this CPU runs, by name; its kernels run in the test."""
    before = engine.isa_active()
    engine.isa_select(request.param)
    assert engine.isa_active() == request.param
    yield request.param
    engine.isa_select(before)


@pytest.fixture
def default_and_avx2():
    """Calls a function twice: the default may run AVX-512; only Adam may differ in bits."""
    if "avx2" not in engine.isa_available():
        pytest.skip("the baseline does everything here")
    before = engine.isa_active()

    def call(function):
        results = []
        for name in (None, "avx2"):
            engine.isa_select(name)
            assert engine.isa_active() == "avx2"
            results.append(function())
        return results

    yield call
    engine.isa_select(before)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


@pytest.fixture(params=[1, 2], ids=["1thread", "2threads"])
def threads(request):
    """One thread; then two without threshold: even the smallest work of two pieces is shared."""
    before = engine.threads_get(), engine.threads_threshold_get()
    engine.threads_set(request.param)
    if request.param > 1:
        engine.threads_threshold_set(0)
    yield request.param
    engine.threads_set(before[0])
    engine.threads_threshold_set(before[1])


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)


# Reasons for which a test may be skipped even where everything is installed (NNCORE_NO_SKIPS=1).
ALLOWED_SKIPS = ("this CPU has no avx512",)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI a skip is a failure, unless its reason is on the list."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and os.environ.get("NNCORE_NO_SKIPS") and not hasattr(report, "wasxfail"):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if not any(allowed in reason for allowed in ALLOWED_SKIPS):
            report.outcome = "failed"
            report.longrepr = f"skipped, but nothing may skip here: {reason}"
