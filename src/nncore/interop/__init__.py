"""nncore beside other libraries: their conventions, spoken by nncore."""

from nncore.interop.threadpoolctl import register_threadpoolctl

__all__ = ["register_threadpoolctl"]
