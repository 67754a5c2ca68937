"""Mutants: small faults put into a copy of the library, one at a time, and whether the tests notice them.

`python benchmarks/mutants.py` (`make mutants`) draws them, runs for each the tests that execute its line, and writes
`benchmarks/mutants.json` and the numbers of `docs/mutants.md`. It needs the extra `mutation`. What the record says of
killed mutants stays while the library is the same; tests are mapped again when their file has changed.
"""

import ast
import contextlib
import gc
import hashlib
import importlib
import json
import os
import platform
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
from collections import Counter, defaultdict
from importlib.metadata import version
from importlib.util import cache_from_source
from pathlib import Path

import pytest
import tables

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # before NumPy is loaded: a process with threads cannot be forked

ROOT = Path(__file__).resolve().parents[1]
WRITER = "make mutants"
RECORD = ROOT / "benchmarks" / "mutants.json"
REASONS = ROOT / "benchmarks" / "survivors.toml"
MAP = ROOT / "reports" / "mutants" / "map.json"
PASSED = MAP.with_name("passed.json")
"""Tests that each survivor has passed, with the mark of their file: they are not run again."""
FOLDERS = "inference", "vortex", "neutrino", "claims"
TESTS = *(f"tests/{name}" for name in FOLDERS), "tests/test_properties.py", "tests/test_datafiles.py"
SEED, N_MUTANTS = 20261128, 160
LONGEST = 60
"""Seconds of tests, without the mutant, after which no further group of tests is run for one mutant."""
TOGETHER = 10
"""Seconds of tests that are run by one start of pytest."""
MEMORY = 8 << 30
"""Bytes of address space of a run."""
OUTCOMES = "killed", "timed out", "survived", "not executed"
NOTICED = OUTCOMES[:2]
TOOLS = "cosmic-ray", "coverage", "pytest"
RULE = "|---|---|---|"
ALIKE = (
    {"Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Pow"},
    {"BitOr", "BitAnd", "BitXor"},
    {"Eq", "NotEq", "Lt", "LtE", "Gt", "GtE"},
    {"Is", "IsNot"},
    {"USub", "UAdd", "Delete"},
    {"Not", "Delete"},
    {"Invert", "Delete"},
)
"""Operators that replace each other. Another one would raise a TypeError, which every test notices."""
LIBRARIES = (
    *("anyio.pytest_plugin", "coverage", "distributed", "emcee", "hypothesis.extra.numpy", "iminuit", "joblib"),
    *("jsonschema", "lmfit", "matplotlib.figure", "mpmath", "nbval.plugin", "numpy.testing", "pandas"),
    *("scipy.integrate", "scipy.interpolate", "scipy.linalg", "scipy.optimize", "scipy.sparse.linalg"),
    *("scipy.special", "scipy.stats", "sklearn", "xdist.plugin"),
)
"""Imported once, before the tests of any mutant."""


def list_changes(source):
    """Operators of mutation, each with its number of occurrence, by the place (line, column) that they change."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(ast_nodes(get_ast(source)))
    spans = [(node.lineno, node.col_offset, node.end_lineno, node.end_col_offset) for node in find_types(source)]
    lines = source.splitlines()
    places = defaultdict(list)
    for name in operator_names():
        kinds = re.findall(r"_([^_]+)", name)
        operator = get_operator(name)
        if operator.arguments() or (kinds and not any(alike.issuperset(kinds) for alike in ALIKE)):
            continue
        positions = (start for node in nodes for start, _ in operator().mutation_positions(node))
        for occurrence, (line, column) in enumerate(positions):
            place = line, len(lines[line - 1][:column].encode())
            if not any(span[:2] <= place < span[2:] for span in spans):
                places[place].append((name, occurrence))
    return places


def find_types(source):
    """Nodes of a source that concern types alone: annotations and what stands under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(source)):
        yield from filter(None, (getattr(node, field, None) for field in ("annotation", "returns")))
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            yield node


def draw(folder, number, seed):
    """Mutants of the library in a folder: places drawn at random, and one change at each.

    Returns
    -------
    list of (dict, str)
        What identifies the mutant (file, line, function, the changed line before and after), and the changed source.
    """
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    paths = sorted(path for name in FOLDERS for path in (folder / "lib" / "leptonfit" / name).rglob("*.py"))
    places = [(path, place, found) for path in paths for place, found in sorted(list_changes(path.read_text()).items())]
    chance = random.Random(seed)
    chance.shuffle(places)
    mutants = []
    for path, (line, _), found in places:
        name, occurrence = chance.choice(found)
        source = path.read_text()
        changed = mutate_code(source, get_operator(name)(), occurrence)
        if is_another_program(source, changed):
            before, after = describe(source, changed)
            where = str(path.relative_to(folder))
            function = find_function(source, line)
            known = {"file": where, "line": line, "function": function, "before": before, "after": after}
            mutants.append((known, changed))
        if len(mutants) == number:
            break
    return mutants, len(places)


def is_another_program(source, changed):
    try:
        return ast.dump(ast.parse(source)) != ast.dump(ast.parse(changed))
    except SyntaxError:
        return False


def describe(source, changed):
    """The lines that differ, before and after."""
    old, new = source.splitlines(), changed.splitlines()
    first = next(i for i, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1])
    end = next(i for i, pair in enumerate(zip(old[::-1], new[::-1], strict=False)) if pair[0] != pair[1])
    return tuple(" ".join(" ".join(lines[first : len(lines) - end]).split()) for lines in (old, new))


def find_definitions(source, line):
    """Functions and classes around a line, the outermost first."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    first = {node: min([node.lineno, *(one.lineno for one in node.decorator_list)]) for node in found}
    return sorted((node for node in found if first[node] <= line <= node.end_lineno), key=lambda node: node.lineno)


def find_function(source, line):
    return ".".join(node.name for node in find_definitions(source, line))


def find_lines(source, line):
    """Lines of which a test must execute one to be run: those of the statement, or of the function whose head it is.

    There are none for a constant, which is computed before any test.
    """
    around = [node for node in find_definitions(source, line) if not isinstance(node, ast.ClassDef)]
    if not around:
        return range(0)
    body = [node for part in around[-1].body for node in ast.walk(part) if isinstance(node, ast.stmt)]
    for node in sorted(body, key=lambda node: -node.lineno):
        inner = [part.lineno for part in ast.walk(node) if isinstance(part, ast.stmt) and part is not node]
        end = min(inner) - 1 if inner else node.end_lineno
        if node.lineno <= line <= end:
            return range(node.lineno, end + 1)
    return range(around[-1].body[0].lineno, around[-1].end_lineno + 1)


class LineMap:
    """Plugin of pytest: which test executes which lines of the library, and how long each passing test takes.

    What a fixture of a whole file executes counts for all tests of the file. Caches of functions are emptied before
    each test, so that it executes what it needs.
    """

    def __init__(self, folder):
        import coverage

        self.folder = folder
        source = [folder / "lib" / "leptonfit" / name for name in FOLDERS]
        self.coverage = coverage.Coverage(data_file=None, source=source)
        self.context = ""
        self.start = 0.0
        self.seconds = {}
        self.failed = set()

    def pytest_runtest_logstart(self, nodeid):
        for name, module in list(sys.modules.items()):
            if name.startswith("leptonfit."):
                for value in vars(module).values():
                    if hasattr(value, "cache_clear"):
                        value.cache_clear()
        self.switch(nodeid)
        self.start = time.perf_counter()

    def pytest_runtest_logfinish(self, nodeid):
        self.seconds[nodeid] = time.perf_counter() - self.start
        self.switch("")

    def pytest_runtest_logreport(self, report):
        if not report.passed:
            self.failed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef):
        outer = self.context
        if fixturedef.scope != "function":
            self.switch(outer.partition("::")[0])
        value = yield
        self.switch(outer)
        return value

    def switch(self, context):
        self.context = context
        self.coverage.switch_context(context)

    def collect(self):
        """By file of tests: seconds of each test that passed, those that did not, and the tests of each line."""
        files = defaultdict(lambda: {"seconds": {}, "not passed": [], "lines": defaultdict(lambda: defaultdict(list))})
        for test, seconds in self.seconds.items():
            one = files[test.partition("::")[0]]
            if test in self.failed:
                one["not passed"].append(test)
            else:
                one["seconds"][test] = seconds
        data = self.coverage.get_data()
        for path in data.measured_files():
            where = str(Path(path).relative_to(self.folder))
            for line, contexts in data.contexts_by_lineno(path).items():
                for context in filter(None, contexts):
                    name, _, test = context.partition("::")
                    tests = [context] if test else files[name]["seconds"]
                    files[name]["lines"][where][line] += [one for one in tests if one in files[name]["seconds"]]
        return files


def hash_files(paths):
    """Checksum of the content of files."""
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(paths))).hexdigest()


def run_child(work, log, limit):
    """Exit code of `work()` in a process of its own with what it starts, or minus the signal that ended it.

    Its output goes to the file `log`; after `limit` seconds SIGALRM ends it.
    """
    child = os.fork()
    if not child:
        code = 1
        try:
            os.setsid()
            signal.alarm(limit)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            with open(log, "w") as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(status)


class FirstFailure:
    """Plugin of pytest: the first test or file that failed."""

    name = ""

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.name = self.name or report.nodeid

    pytest_collectreport = pytest_runtest_logreport


class Checkout:
    """A copy of the checkout, in a folder that holds it alone, in which mutants are made and tests run."""

    def __init__(self, folder):
        self.folder = folder / "checkout"
        self.log = folder / "log"
        leave = shutil.ignore_patterns(".git", ".venv*", "reports", "__pycache__", ".*_cache")
        shutil.copytree(ROOT, self.folder, ignore=leave)
        self.sound = set()
        self.marks = {}

    def call_pytest(self, tests, plugin, *options):
        """Run pytest on tests in the copy; the calling process is of no use afterwards."""
        os.chdir(self.folder)
        os.environ["PYTHONPATH"] = str(self.folder / "lib")
        sys.path.insert(0, str(self.folder / "lib"))
        sys.dont_write_bytecode = False
        sys.modules["__main__"] = importlib.import_module("pytest.__main__")  # what workers import
        scratch = f"--basetemp={self.folder.parent / 'tmp'}"
        fixed = ["-q", "-n", "0", "--assert=plain", "-p", "no:cacheprovider", scratch]
        return pytest.main([*fixed, *options, *tests], [plugin])

    def run(self, tests, seconds):
        """Exit code of tests that take some seconds unchanged, and the first that failed."""
        failed = self.folder.parent / "failed"
        failed.write_text("")

        def work():
            plugin = FirstFailure()
            code = self.call_pytest(tests, plugin, "-x")
            failed.write_text(plugin.name)
            return code

        return run_child(work, self.log, round(3 * seconds) + 30), failed.read_text()

    def map_lines(self):
        """What `LineMap` finds for each file of tests; files that are unchanged since the last map are not run."""
        stored = json.loads(MAP.read_text()) if MAP.is_file() else {}
        library = hash_files((self.folder / "lib").rglob("*.py"))
        files = {}
        for name in TESTS:
            path = self.folder / name
            files |= {str(one.relative_to(self.folder)): one for one in sorted(path.rglob("test_*.py")) or [path]}
        self.marks = marks = {name: hash_files([path])[:8] for name, path in files.items()}
        if stored.get("library") != library:
            stored = {"library": library, "files": {}}
        known = {name: one for name, one in stored["files"].items() if one["mark"] == marks.get(name)}
        missing = [name for name in files if name not in known]
        new = self.folder.parent / "map.json"

        def work():
            plugin = LineMap(self.folder)
            with plugin.coverage.collect():
                self.call_pytest(missing, plugin)
            new.write_text(json.dumps(plugin.collect()))
            return 0

        if missing:
            if run_child(work, self.log, 2 * 3600):
                raise RuntimeError(f"the tests were not mapped: {self.log.read_text()[-2000:]}")
            empty = {"seconds": {}, "not passed": [], "lines": {}}
            found = json.loads(new.read_text())
            known |= {name: {**found.get(name, empty), "mark": marks[name]} for name in missing}
            MAP.parent.mkdir(parents=True, exist_ok=True)
            MAP.write_text(json.dumps({"library": library, "files": known}))
        return known

    def judge(self, mutant, changed, groups):
        """Outcome of one mutant, by groups of tests (dicts of their seconds) that are run in turn, and what passed.

        Returns
        -------
        dict
            outcome (`killed`, `timed out` or `survived`), what noticed it, and the number of tests that it was not
            given because they take longer than `LONGEST` in all.
        list of str
            Tests that it passed, with the mark of their file.
        """
        path = self.folder / mutant["file"]
        source = path.read_text()
        spent, left, passed = 0.0, 0, []
        for group in groups:
            seconds = sum(group.values())
            if spent and spent + seconds > LONGEST:
                left += len(group)
                continue
            spent += seconds
            while group:
                self.write(path, changed)
                code, test = self.run(group, seconds)
                self.write(path, source)
                first = test if test in group else next(iter(group))
                if code == -signal.SIGALRM and self.run(group, seconds)[0] == code:  # the machine is too busy
                    left += len(group)
                    break
                if code == -signal.SIGALRM:
                    return {"outcome": "timed out", "by": first.partition("::")[0], "left": 0}, passed
                if not code:
                    passed += [self.marks[test.partition("::")[0]] + test for test in group]
                    break
                if self.passes(first, seconds):
                    return {"outcome": "killed", "by": test or f"the start of {first}", "left": 0}, passed
                del group[first]
        return {"outcome": "survived", "by": "", "left": left}, passed

    def passes(self, test, seconds):
        """Whether a test passes alone on the unchanged library."""
        if test not in self.sound and self.run([test], seconds)[0] == 0:
            self.sound.add(test)
        return test in self.sound

    @staticmethod
    def write(path, source):
        """Write a source; what was compiled from the one before, perhaps in the same second, is removed."""
        path.write_text(source)
        Path(cache_from_source(path)).unlink(missing_ok=True)


def group_tests(known, where, lines, passed=()):
    """Tests that execute one of some lines of a file, with their seconds, the quickest file of tests and test first.

    Without lines, they are all those of the files of tests of which one executes any line: a test may read a constant
    and execute nothing. Those that `passed` already are left out. Files of tests that take no longer than `TOGETHER`
    are one group, as one start of pytest.
    """
    files = []
    for one in known.values():
        executed = one["lines"].get(where, {})
        tests = {test for line, found in executed.items() if int(line) in lines for test in found}
        if not lines and any(executed.values()):
            tests = set(one["seconds"])
        tests = {test for test in tests if one["mark"] + test not in passed}
        files.append({test: one["seconds"][test] for test in sorted(tests, key=one["seconds"].get)})
    groups = []
    for file in sorted(filter(None, files), key=lambda file: sum(file.values())):
        if groups and sum(groups[-1].values()) + sum(file.values()) < TOGETHER:
            groups[-1] |= file
        else:
            groups.append(file)
    return groups


def render(record, reasons):
    """Text between the two markers of the page.

    Parameters
    ----------
    record : dict
        Content of `mutants.json`.
    reasons : list of dict
        Content of `survivors.toml`: why a survivor survives.
    """
    rows = record["mutants"]
    counts = {name: Counter(row["outcome"] for row in rows if f"/{name}/" in row["file"]) for name in FOLDERS}
    counts["all"] = Counter(row["outcome"] for row in rows)
    versions = ", ".join(f"{name} {number}" for name, number in record["versions"].items())
    lines = [
        f"*Computed* with {versions}: {len(rows)} mutants at places drawn at random from",
        f"{record['places']} (seed {record['seed']}), library {record['library'][:12]}.",
        "",
        f"| package | mutants | {' | '.join(OUTCOMES)} |",
        "|---|---|" + "---|" * len(OUTCOMES),
    ]
    for name, one in counts.items():
        lines.append(f"| {name} | {one.total()} | {' | '.join(str(one[outcome]) for outcome in OUTCOMES)} |")
    new = [row for row in rows if row["first"] not in NOTICED and row["outcome"] in NOTICED]
    lines += [
        "",
        f"Noticed since by a test that was added ({len(new)}):",
        "",
        "| where | change | test |",
        "|---|---|---|",
    ]
    lines += [f"{say_change(row)} `{row['by'].removeprefix('tests/')}` |" for row in new]
    old = [row for row in rows if row["outcome"] not in NOTICED]
    lines += ["", f"Not noticed ({len(old)}):", "", "| where | change | why |", RULE]
    said = {identify(one): one["why"] for one in reasons}
    for row in old:
        left = f" ({row['left']} tests were not run.)" if row["left"] else ""
        lines.append(f"{say_change(row)} {said.get(identify(row), '**Not explained.**')}{left} |")
    return "\n".join(lines)


def say_change(row):
    before, after = (f"`` {row[key]} ``".replace("|", "\\|") if row[key] else "nothing" for key in ("before", "after"))
    where = row["file"].removeprefix("lib/leptonfit/")
    return f"| `{where}`, `{row['function'] or 'constants'}` | {before} → {after} |"


def identify(row):
    return row["file"], row["function"], row["before"], row["after"]


def main():
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()
    stored = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        checkout = Checkout(Path(folder))
        library = hash_files((checkout.folder / "lib").rglob("*.py"))
        known = checkout.map_lines()
        mutants, n_places = draw(checkout.folder, N_MUTANTS, SEED)
        same = stored if stored.get("library") == library and stored["seed"] == SEED else {"mutants": []}
        rows = {"\n".join([*identify(row), str(row["line"])]): row for row in same["mutants"]}
        passed = json.loads(PASSED.read_text()) if rows and PASSED.is_file() else {}
        for mutant, changed in mutants:
            key = "\n".join([*identify(mutant), str(mutant["line"])])
            last = rows.get(key, {})
            if last.get("outcome") not in NOTICED:
                source = (checkout.folder / mutant["file"]).read_text()
                lines = find_lines(source, mutant["line"])
                groups = group_tests(known, mutant["file"], lines, passed.get(key, ()))
                found, also = (
                    checkout.judge(mutant, changed, groups) if groups else (last or {"outcome": OUTCOMES[-1]}, [])
                )
                passed[key] = [*passed.get(key, ()), *also]
                PASSED.write_text(json.dumps(passed))
                rows[key] = {**mutant, **found, "first": last.get("first", found["outcome"])}
                print(f"{len(rows)}: {found['outcome']}: {mutant['file']}:{mutant['line']}", flush=True)
            record = {
                "library": library,
                "seed": SEED,
                "places": n_places,
                "versions": {"Python": platform.python_version(), **{name: version(name) for name in TOOLS}},
                "mutants": list(rows.values()),
            }
            RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    text = render(record, tomllib.loads(REASONS.read_text())["survivor"])
    page = ROOT / "docs" / "mutants.md"
    page.write_text(tables.replace(page.read_text(), text, WRITER))
    print(text.partition("\n\nNot noticed")[0])


if __name__ == "__main__":
    main()
