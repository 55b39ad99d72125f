# SPDX-License-Identifier: Apache-2.0
"""Imported first: where the modules that we share with the other tests are."""

import os
import sys

TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[1:1] = [os.path.join(TESTS, "integration"), os.path.join(TESTS, "kafka")]
