"""Every handler has a row of tests and stands in the list of primitives, and nothing else does."""

from write_catalog import find_cases

from msnoah.export.catalog import list_primitives
from msnoah.export.ops import HANDLERS


def test_every_handler_has_a_case():
    covered = {name for case_ in find_cases([]) for name in case_.primitives.split()}
    assert set(HANDLERS) == covered


def test_every_handler_is_listed_as_tested():
    untested = [info.name for info in list_primitives() if not info.compared_with]
    assert not untested, "run tests/export/write_catalog.py"


def test_list_says_what_a_primitive_is_compared_with():
    compared = {}
    for case_ in find_cases([]):
        for name in case_.primitives.split():
            compared.setdefault(name, set()).add(case_.compared_with)
    listed = {info.name: info.compared_with for info in list_primitives()}
    assert listed == {name: "mindspore" if "mindspore" in kinds else "numpy" for name, kinds in compared.items()}
