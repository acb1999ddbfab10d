"""nncore's threads under the control of threadpoolctl, beside those of BLAS and OpenMP."""

from typing import Any

from nncore._core.config import get_num_threads, set_num_threads


def register_threadpoolctl() -> None:
    """Let ``threadpoolctl.threadpool_limits`` and ``threadpool_info`` see nncore's threads.

    They are listed with ``user_api`` and ``internal_api`` "nncore". Calling it again changes
    nothing.

    Raises
    ------
    ImportError
        threadpoolctl is not installed; the message says how to install it.

    Examples
    --------
    >>> nncore.interop.register_threadpoolctl()
    >>> with threadpoolctl.threadpool_limits(1):  # BLAS, OpenMP and nncore
    ...     trainer.fit(x, y)
    """
    try:
        import threadpoolctl
    except ImportError:
        raise ImportError(
            "register_threadpoolctl: threadpoolctl is not installed: pip install threadpoolctl"
        ) from None
    from nncore import __version__

    if any(known.internal_api == "nncore" for known in threadpoolctl._ALL_CONTROLLERS):
        return

    class Controller(threadpoolctl.LibController):  # type: ignore[misc]
        """The engine: the one loaded library of its name that has this symbol."""

        user_api = "nncore"
        internal_api = "nncore"
        filename_prefixes = ("engine",)
        check_symbols = ("nn_threads_get",)

        def get_num_threads(self) -> int:
            return get_num_threads()

        def set_num_threads(self, num_threads: Any) -> None:
            set_num_threads(num_threads)

        def get_version(self) -> str:
            return __version__

    threadpoolctl.register(Controller)
