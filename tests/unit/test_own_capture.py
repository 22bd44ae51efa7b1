"""A guard of the tests themselves: TensorFlow's log handler must not hold, and close, pytest's own capture file."""

import sys

import pytest


def test_the_log_handler_of_tensorflow_writes_to_the_real_stderr():
    absl_logging = pytest.importorskip("absl.logging")
    assert absl_logging.get_absl_handler().python_handler.stream is sys.__stderr__ is not sys.stderr
