"""Runs whose records, right in every checksum, claim what cannot be."""

from __future__ import annotations

from tests.attacks import frames
from tests.attacks.attack import Attack, field, nested, record, tensor
from tests.attacks.tampering import Tampered

ROOT, PLAN, GROUP = "", "plans/0000", "iterations/00000001"
ENORMOUS = 10**12


def _raw_root(text: bytes) -> Attack:
    return Attack(lambda run: run.write("zarr.json", text), "NotARunError")


def _bomb_positions(run: Tampered) -> None:
    """Everything agrees: so many samples in the plan, in the catalogue and in the header of the frame."""
    n = 1 << 28
    run.reseal(PLAN, lambda r: (r.update(values=n), r["tensors"][1].update(shape=[n], grid=[1, n], offset=0)))
    run.replace_array(PLAN, "positions", frames.bomb(0))


def _endless_vocabulary(run: Tampered) -> None:
    """A hundred thousand tokens, each of them the whole text of a megabyte."""
    import numpy as np

    n, size = 100_000, 1 << 20
    run.replace_array("vocabulary", "text", frames.good(b"x" * size))
    offsets = np.tile(np.array([0, size], "<i8"), n // 2)
    run.replace_array("vocabulary", "offsets", frames.good(np.append(offsets, 0).astype("<i8").tobytes()))
    run.reseal("vocabulary", lambda r: r.update(tokens=n, bytes=size))


def _offsets(*values: int) -> Attack:
    import numpy as np

    def build(run: Tampered) -> None:
        run.replace_array("vocabulary", "offsets", frames.good(np.array(values, "<i8").tobytes()))
        run.reseal("vocabulary", lambda r: r.update(tokens=len(values) - 1))

    return Attack(build, "vocabulary", "offsets")


def _many_plans(run: Tampered) -> None:
    import shutil

    run.reseal("plans/0000", lambda r: r.update(values=1 << 23))
    run.replace_array("plans/0000", "positions", frames.good(bytes(1 << 26)))
    for number in range(1, 12):
        shutil.copytree(run.file("plans/0000"), run.file(f"plans/{number:04d}"))


ATTACKS: dict[str, Attack] = {
    "a root record of 200 MB": Attack(
        lambda run: run.sparse("zarr.json", 200 << 20), "NotARunError", "16,777,216"
    ),
    "a root record of 15 MB of brackets": _raw_root(b"[" * (15 << 20)),
    "a root record of 15 MB of empty lists": _raw_root(b"[" + b"[]," * (5 << 20) + b"0]"),
    "a root record nested a hundred thousand deep": _raw_root(b'{"attributes":' * 100_000),
    "a root record that is no text": _raw_root(bytes(range(256))),
    "a root record with a number of 100,000 digits": _raw_root(b'{"attributes":' + b"9" * 100_000 + b"}"),
    "a format that is a nest": record(
        ROOT, lambda r: r.update(format=nested(50)), "a list", key="FormatVersionError"
    ),
    "a format that is a number of 4,000 digits": record(
        ROOT, lambda r: r.update(format=10**4000), "enormous", key="FormatVersionError"
    ),
    "a description that is nested 500 deep": record(
        ROOT, lambda r: r["description"].update(config=nested(500)), "nested", key="NotARunError"
    ),
    "a description that is a list": field(ROOT, "description", [], "description"),
    "a name that is a number": field(ROOT, "name", 7, "name"),
    "a name of 10 MB": field(ROOT, "name", "x" * (10 << 20), "name"),
    "a run id that is a list": field(ROOT, "run_id", [1], "run_id"),
    "a run made in the year 10^300": field(ROOT, "created_unix_s", 1e300, "created"),
    "a run made before time": field(ROOT, "created_unix_s", -1, "created"),
    "a run made at true": field(ROOT, "created_unix_s", True, "created"),
    "a run made at an integer beyond all floats": field(ROOT, "created_unix_s", 10**400, "created"),
    "a run made at NaN": Attack(
        lambda run: run.reseal(ROOT, lambda r: r.update(created_unix_s=float("nan"))), "zarr.json", "JSON"
    ),
    "a thousand columns": field(ROOT, "statistics", [str(n) for n in range(1000)], "columns"),
    "the same column twice": field(ROOT, "statistics", ["mean", "mean"], "twice"),
    "columns that are no texts": field(ROOT, "gradient_statistics", [1, 2], "column"),
    "a vocabulary that is 1": field(ROOT, "vocabulary", 1, "vocabulary"),
    "a million million tensors": field(PLAN, "tensors", ENORMOUS),
    "tensors that are a text": field(PLAN, "tensors", "wte"),
    "tensors that are lists": field(PLAN, "tensors", [[]]),
    "a million million samples": record(PLAN, lambda r: r.update(values=ENORMOUS), "bytes"),
    "minus one sample": field(PLAN, "values", -1, "values"),
    "true samples": field(PLAN, "values", True, "values"),
    "half a sample": field(PLAN, "vectors", 50.0, "vectors"),
    "a name of a tensor of 1 MB": tensor("characters", name="x" * (1 << 20)),
    "a name that is null": tensor("name", name=None),
    "the same name twice": tensor("twice", index=1, name="wte.weight"),
    "a negative extent": tensor("extent", shape=[-40, -8]),
    "an extent of 10^30": tensor("extent", shape=[10**30, 8]),
    "an extent that is true": tensor("extent", shape=[True, 320]),
    "an extent that is a float": tensor("extent", shape=[40.0, 8]),
    "a hundred dimensions": tensor("shape", shape=[1] * 100),
    "extents whose product is beyond all numbers": tensor("size", shape=[2**50] * 30),
    "a shape that is a text": tensor("shape", shape="40"),
    "a grid of three": tensor("grid", grid=[40, 8, 1]),
    "a negative grid": tensor("grid", grid=[-40, -8]),
    "a grid beyond the tensor": tensor("samples", grid=[400, 8]),
    "an offset beyond the array": tensor("samples", offset=20_300),
    "a negative offset": tensor("offset", offset=-1),
    "an offset that is true": tensor("offset", offset=True),
    "samples in another array": tensor("array", array="../values"),
    "a layer of 10^40": tensor("layer", layer=10**40),
    "frozen with water": tensor("frozen", frozen="yes"),
    "a tensor tied to itself": tensor("ties", index=3, tied_to="head.weight"),
    "a tensor tied to nothing": tensor("ties", index=3, tied_to="nothing"),
    "two tensors tied to each other": record(
        PLAN,
        lambda r: (r["tensors"][3].update(tied_to="odd"), r["tensors"][4].update(tied_to="head.weight")),
        "ties",
    ),
    "a chain of tied tensors": tensor("ties", index=0, tied_to="h.0.fc.weight"),
    "an embedding that is no tensor": record(PLAN, lambda r: r["embedding"].update(tensor="x"), "tensor"),
    "an embedding that is wider than the world": record(
        PLAN, lambda r: r["embedding"].update(width=ENORMOUS), "width"
    ),
    "an embedding with fewer rows than are recorded": record(
        PLAN, lambda r: r["embedding"].update(vocabulary_size=3), "rows"
    ),
    "a bomb of two gigabytes in the positions": Attack(_bomb_positions, PLAN, "bytes"),
    "twelve plans of 64 MB each": Attack(_many_plans, "plans/0000", "bytes"),
    "a vocabulary of a hundred gigabytes": Attack(_endless_vocabulary, "vocabulary", "offsets"),
    "offsets out of order": _offsets(0, 30, 10, 40),
    "offsets before the text": _offsets(-5, 20, 40),
    "offsets behind the text": _offsets(0, 20, 4000),
    "a million million tokens": field("vocabulary", "tokens", ENORMOUS),
    "a vocabulary that is not UTF-8": Attack(
        lambda run: run.replace_array("vocabulary", "text", frames.good(b"\xff" * 40)), "vocabulary"
    ),
    "a basis of a million axes": field("bases/0000", "scores", 10**6, "scores"),
    "a basis as wide as the world": field("bases/0000", "width", ENORMOUS, "width"),
    "a snapshot of a plan that is not there": record(
        GROUP, lambda r: r.update(plan=5), "missing", key="plans/0001"
    ),
    "a snapshot of plan -1": field(GROUP, "plan", -1, "plan"),
    "a snapshot of plan true": field(GROUP, "plan", True, "plan"),
    "a snapshot of plan 2^70": field(GROUP, "plan", 2**70, "plan"),
    "a snapshot in basis 10^9": field(GROUP, "basis", 10**9, "basis"),
    "a snapshot in a basis that is not there": record(
        GROUP, lambda r: r.update(basis=7), "missing", key="bases/0007"
    ),
    "a snapshot that is another": field(GROUP, "iteration", 7, "iteration 7"),
    "a snapshot taken at infinity": field(GROUP, "time_unix_s", 10**400, "time"),
    "a scalar of 400 digits": field(GROUP, "scalars", {"loss": 10**400}),
    "a scalar that is a text": field(GROUP, "scalars", {"loss": "much"}),
    "scalars that are a list": field(GROUP, "scalars", [1.0]),
    "events that are numbers": field(GROUP, "events", [1, 2]),
    "a gradient of tensor -1": record(GROUP, lambda r: r["gradient_state"].update(exceptions={"-1": "used"})),
    "a gradient of tensor 9…9": record(
        GROUP, lambda r: r["gradient_state"].update(exceptions={"9" * 5000: "used"})
    ),
    "files that are a list": field(GROUP, "files", ["values/c.0"], "files"),
    "five thousand files": field(GROUP, "files", {f"a{n}/c.0": [1, 1] for n in range(5000)}, "files"),
    "a file of minus one bytes": field(GROUP, "files", {"values/c.0": [-1, 0]}, "length"),
    "a file of 10^15 bytes": field(GROUP, "files", {"values/c.0": [10**15, 0]}, "length"),
    "a file of true bytes": field(GROUP, "files", {"values/c.0": [True, 0]}, "length"),
    "a file without a checksum": field(GROUP, "files", {"values/c.0": [1]}, "files"),
    **{
        f"a file called {key!r}": field(GROUP, "files", {key: [1, 1]}, "no name of a file")
        for key in (
            "../../../secret",
            "values/../../../../secret",
            "/etc/passwd",
            "C:/secret",
            "..\\..\\secret",
            "values/c.0\0",
            "values/\x1b[2Jc.0",
            "values//c.0",
            "values/./c.0",
            ".paramviz/lock",
            "values",
            "",
            "a/" * 20 + "c.0",
            "x" * 300 + "/c.0",
            "values/c.0\n",
        )
    },
}
