"""The rules of the house, read off the syntax tree of every source file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"msnoah": ROOT / "msnoah", "msnoah.export": ROOT / "export", "msnoah.deploy": ROOT / "deploy"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
MEDIAN_FUNCTION_LINES = 12


def source_files() -> dict[str, Path]:
    """Module name -> file, each file once (the two links in msnoah/ are left out)."""
    files = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            inner = path.relative_to(folder)
            if package == "msnoah" and inner.parts[0] in ("export", "deploy"):
                continue
            files[".".join([package, *inner.with_suffix("").parts]).removesuffix(".__init__")] = path
    return files


SOURCES = source_files()
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}
each_module = pytest.mark.parametrize("module", SOURCES)


def functions(module: str) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(TREES[module]) if isinstance(node, ast.FunctionDef)]


def is_handler(node: ast.AST) -> bool:
    """A function under @handles("..."): the decorator and the signature are its contract, so it needs no docstring."""
    return any(getattr(getattr(d, "func", d), "id", "") == "handles" for d in getattr(node, "decorator_list", []))


def imports(module: str) -> set[str]:
    """Absolute names of what a module imports, anywhere in it (import_module("...") with a constant counts too)."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: relative import; write the whole name"
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imports_at_load(module: str) -> set[str]:
    names = set()
    for node in TREES[module].body:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return names


def inside(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


# importer -> packages it must not import, anywhere in its files
FORBIDDEN = [
    ("msnoah.nn", ["msnoah.models", "msnoah.data", "msnoah.training", "msnoah.export", "msnoah.deploy", "msnoah.cli"]),
    ("msnoah.models", ["msnoah.data", "msnoah.training", "msnoah.export", "msnoah.deploy", "msnoah.cli"]),
    ("msnoah.data", ["msnoah.models", "msnoah.training", "msnoah.export", "msnoah.deploy", "msnoah.cli"]),
    ("msnoah.metrics", ["msnoah.nn", "msnoah.models", "msnoah.data", "msnoah.training", "msnoah.export", "msnoah.deploy", "msnoah.cli"]),
    ("msnoah.training", ["msnoah.models", "msnoah.export", "msnoah.deploy", "msnoah.cli"]),
    ("msnoah.checkpoint", ["msnoah.models", "msnoah.training", "msnoah.export", "msnoah.deploy", "msnoah.cli"]),
    ("msnoah.export", ["msnoah.deploy", "msnoah.cli", "msnoah.training", "msnoah.models"]),
    ("msnoah.deploy", ["msnoah.cli", "msnoah.nn", "msnoah.models", "msnoah.training", "msnoah.registry"]),
]
LEAVES = {
    "msnoah.errors": set(), "msnoah.config_section": set(),
    "msnoah.quantization_config": {"msnoah.config_section"}, "msnoah.train_config": {"msnoah.config_section"},
    "msnoah.checkpoint_config": {"msnoah.config_section"},
    "msnoah.config": {
        "msnoah.config_section", "msnoah.checkpoint_config", "msnoah.quantization_config", "msnoah.train_config"},
    "msnoah.registry": {"msnoah.errors"},
}
MINDSPORE_ROOMS = ["msnoah.nn", "msnoah.models", "msnoah.data", "msnoah.training", "msnoah.checkpoint"]
MINDSPORE_FILES = [
    "msnoah.export.mindir", "msnoah.export.exporter", "msnoah.export.cell_conversion", "msnoah.export.reference_runs",
    "msnoah.deploy.runtimes.mindspore",
]


@pytest.mark.parametrize("importer,targets", FORBIDDEN)
def test_arrows_point_one_way(importer, targets):
    for module in filter(lambda name: inside(name, importer), SOURCES):
        bad = [name for name in imports(module) for target in targets if inside(name, target)]
        assert not bad, f"{module} imports {bad}"


@pytest.mark.parametrize("module,allowed", LEAVES.items())
def test_leaves_import_nothing_of_ours_but_errors(module, allowed):
    ours = {name for name in imports(module) if inside(name, "msnoah")}
    assert all(any(inside(name, leaf) for leaf in allowed) for name in ours), f"{module} imports {ours}"


@each_module
def test_mindspore_stays_in_its_rooms(module):
    uses = any(inside(name, "mindspore") for name in imports(module))
    rooms = any(inside(module, room) for room in MINDSPORE_ROOMS)
    assert not uses or rooms or module in MINDSPORE_FILES, f"{module} imports mindspore"


@each_module
def test_deploy_and_cli_import_heavy_packages_late(module):
    if module in ("msnoah", "msnoah.cli", "msnoah.__main__", "msnoah.registry") or inside(module, "msnoah.deploy"):
        heavy = {"mindspore", "onnxruntime", "matplotlib", "torch"} & {name.split(".")[0] for name in imports_at_load(module)}
        assert not heavy, f"{module} imports {heavy} when it is loaded"


@each_module
def test_file_and_function_lengths(module):
    assert len(SOURCES[module].read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    long = [f"{f.name}:{f.lineno}" for f in functions(module) if f.end_lineno - f.lineno + 1 > MAX_FUNCTION_LINES]
    assert not long, f"functions of over {MAX_FUNCTION_LINES} lines in {module}: {long}"


def test_median_function_is_short():
    lengths = sorted(f.end_lineno - f.lineno + 1 for module in SOURCES for f in functions(module))
    assert lengths[len(lengths) // 2] < MEDIAN_FUNCTION_LINES


@each_module
def test_no_bare_except_and_no_sys_path(module):
    for node in ast.walk(TREES[module]):
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{module}:{node.lineno}: bare except"
        touches_path = isinstance(node, ast.Attribute) and node.attr == "path" and getattr(node.value, "id", "") == "sys"
        assert not touches_path, f"{module}:{node.lineno}: sys.path"


@each_module
def test_public_names_have_docstrings(module):
    tree = TREES[module]
    assert ast.get_docstring(tree) or not tree.body, f"{module} has no docstring"
    bare = [
        f"{node.name}:{node.lineno}"
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        if not ast.get_docstring(node) and not is_handler(node)
    ]
    assert not bare, f"public names of {module} without a docstring: {bare}"


@each_module
def test_no_augmented_assignment_in_construct(module):
    """`y += x` in construct aliases in graph mode: it changes other names of the same tensor."""
    for function in filter(lambda f: f.name == "construct", functions(module)):
        lines = [node.lineno for node in ast.walk(function) if isinstance(node, ast.AugAssign)]
        assert not lines, f"{module}: augmented assignment in construct, lines {lines}"


@each_module
def test_no_functional_pad_in_cells(module):
    """In a compiled training step on the CPU the tenth call of ops.pad never returns (MindSpore 2.10); nn.Pad's does."""
    if any(inside(module, room) for room in ("msnoah.nn", "msnoah.models", "msnoah.training")):
        calls = [node.lineno for node in ast.walk(TREES[module]) if isinstance(node, ast.Attribute)
                 and node.attr == "pad" and getattr(node.value, "id", "") == "ops"]
        assert not calls, f"{module}: ops.pad in lines {calls}; use nn.Pad"


@each_module
def test_no_module_without_a_subject(module):
    assert module.split(".")[-1] not in ("utils", "helpers", "common", "misc")
