"""The examples in the docstrings print what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["combinations", "derived", "differences", "errors_in_variables", "meta"])
def test_examples_print_what_they_say(name):
    module = importlib.import_module(f"leptonfit.inference.{name}")
    failed, tried = doctest.testmod(module)
    assert (failed, tried > 0) == (0, True)
