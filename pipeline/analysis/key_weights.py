"""What :mod:`pipeline.analysis.key` has learned; written by ``tests/quality/fit_key.py``."""

import numpy as np

# Each row from the tonic on, by semitones: pitch classes, major triads, minor triads.
# fmt: off
MAJOR_WEIGHTS = np.array([
    6.05, -2.24, 1.19, -0.48, 5.4, 3.75, -2.51, 6.91, -0.1, 1.66, -3.32, 1.58,
    12.05, -3.08, -1.91, -3.01, -3.82, 3.08, 0.35, 5.73, 2.17, 0.18, 0.07, -3.13,
    -1.12, -3.64, 0.19, -0.05, 2.82, -0.15, -3.12, -4.68, -2.9, 1.44, -0.58, -1.95,
])
MINOR_WEIGHTS = np.array([
    5.9, -5.14, 2.29, 6.06, -4.02, 2.39, -4.35, 6.64, 1.09, -3.15, 2.12, -0.14,
    0.67, -2.28, -1.59, 0.27, -3.34, 0.11, -2.15, 4.89, 4.1, -2.0, 2.18, -3.13,
    12.45, -2.75, -1.33, -2.01, -0.83, 1.5, -1.68, -1.28, -0.82, -0.69, -1.01, -1.85,
])
# fmt: on
MAJOR_BIAS = 1.01
NO_KEY = 12.88
