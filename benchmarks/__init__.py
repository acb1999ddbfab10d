"""Measures nncore beside its peers: ``python -m benchmarks [family ...]``.

The parts, in the order in which a run passes through them:

``cases/``        what is measured: name, inputs, work and tolerance, stated once for everybody
``contestants/``  who is measured: for each case a callable that does one timed repetition
``worker.py``     the process in which one contestant lives; ``process.py`` is the driver's end
``measure.py``    lets the contestants of a case agree first, then alternate
``roofline.py``   what this machine could do at best, measured in the same run
``report.py``     the table; ``results.py`` the JSON file and the comparison with an older one

Nothing here imports NumPy or a peer at the top: a worker times that import.
"""
