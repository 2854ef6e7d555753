"""The garbage collector rests while it is told to, and goes on."""

import gc
import subprocess
import sys

import pytest

from zgcore.garbage import without_collections

PROGRAM = """
import gc, sys
from zgcore.garbage import import_for_good
whole = []
gc.callbacks.append(lambda phase, info: phase == "stop" and whole.append(info["generation"]))
import_for_good()
while_importing = len(whole)
assert "transformers.models.gpt2.modeling_gpt2" in sys.modules
first = gc.get_freeze_count()
later = [[] for _ in range(1000)]
import_for_good()
print(while_importing, first, gc.get_freeze_count() <= first, gc.isenabled())
"""


def test_it_rests_and_goes_on():
    assert gc.isenabled()
    with without_collections():
        assert not gc.isenabled()
        with without_collections():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_it_goes_on_after_an_import_that_fails():
    with pytest.raises(ImportError), without_collections():
        raise ImportError
    assert gc.isenabled()


def test_a_program_leaves_its_libraries_out_of_the_search_once():
    """A plain import of the same goes through more than a thousand collections."""
    out = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    collections, frozen, as_before, enabled = out.split()
    assert int(collections) < 5
    assert int(frozen) > 100_000
    assert (as_before, enabled) == ("True", "True")
