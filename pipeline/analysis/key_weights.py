"""What :mod:`pipeline.analysis.key` has learned; written by ``tests/quality/fit_key.py``."""

import numpy as np

# Each row from the tonic on, by semitones: pitch classes, major triads, minor triads.
# fmt: off
MAJOR_WEIGHTS = np.array([
    5.5, -2.04, 1.08, -0.44, 4.91, 3.41, -2.28, 6.28, -0.09, 1.51, -3.02, 1.43,
    10.96, -2.8, -1.74, -2.74, -3.47, 2.8, 0.32, 5.21, 1.97, 0.17, 0.06, -2.84,
    -1.02, -3.31, 0.17, -0.05, 2.56, -0.14, -2.84, -4.25, -2.64, 1.31, -0.53, -1.78,
])
MINOR_WEIGHTS = np.array([
    5.36, -4.67, 2.08, 5.51, -3.65, 2.17, -3.95, 6.03, 0.99, -2.87, 1.93, -0.13,
    0.61, -2.07, -1.45, 0.24, -3.04, 0.1, -1.96, 4.45, 3.73, -1.82, 1.98, -2.84,
    11.32, -2.5, -1.21, -1.83, -0.75, 1.36, -1.53, -1.16, -0.75, -0.62, -0.91, -1.68,
])
# fmt: on
MAJOR_BIAS = 0.92
NO_KEY = 11.71
