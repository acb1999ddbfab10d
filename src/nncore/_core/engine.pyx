# cython: language_level=3, boundscheck=False, cdivision=True
"""The one extension module that links the engine; each part has its own file.

Functions here check types, dtypes and shapes, take pointers, release the GIL and call the engine. They
allocate their results; arguments that they change (gradients that are added to) are named so.
"""
cimport cython
cimport numpy as cnp
from cpython.dict cimport PyDict_Next
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Calloc, PyMem_Free
from cpython.ref cimport PyObject
from cpython.sequence cimport PySequence_Fast_ITEMS
from libc.math cimport NAN, isfinite
from libc.string cimport memcpy, memset
from numpy cimport ndarray

from nncore._core.nncore cimport *

import math
import os

import numpy as np

from nncore._core import conversion as _conversion
from nncore._core import update_checks as _update_checks

cnp.import_array()

# The element types. A binding is written once over `real` and called as f[float] or f[double].
ctypedef fused real:
    float
    double

include "errors.pxi"
include "process.pxi"
include "arrays.pxi"
include "operation.pxi"
include "linear.pxi"
include "activation.pxi"
include "losses.pxi"
include "flatten.pxi"
include "update.pxi"
include "step_checks.pxi"
include "step_graph.pxi"
include "step.pxi"
include "step_call.pxi"
include "random.pxi"
include "gather.pxi"
include "maxpool2d.pxi"
