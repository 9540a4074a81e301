"""Run every lesson and the numeric tests under other CPUs' kernels: ``make portability``.

Prints what differed under each setting; the exit status is 1 if anything failed. With names of
settings, only those are run; ``--lessons`` leaves the numeric tests out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ONE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TWO = {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
SETTINGS = {
    "as installed": ONE,
    "Haswell": {**ONE, "ATEN_CPU_CAPABILITY": "avx2", "OPENBLAS_CORETYPE": "Haswell"},
    "old CPU": {
        **ONE,
        "ATEN_CPU_CAPABILITY": "default",
        "OPENBLAS_CORETYPE": "Prescott",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
    },
    "SkylakeX": {**ONE, "OPENBLAS_CORETYPE": "SkylakeX"},
    "two threads": TWO,
    "noise 1": {**ONE, "TLCOURSE_NOISE": "1"},
    "noise 2": {**ONE, "TLCOURSE_NOISE": "2"},
}
NUMERIC = ("embeddings", "word2vec", "mapping", "training", "finetuning", "multitask", "bert")
NUMERIC += ("exercises", "explorers", "runs", "retrieval", "bert_tune", "collapse", "studies")


def run(name: str, targets: list[str], folder: Path) -> tuple[int, list[str]]:
    """Tests run, and what failed, under one setting."""
    report = folder / "report.xml"
    report.unlink(missing_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **SETTINGS[name]}
    if "TLCOURSE_NOISE" in SETTINGS[name]:  # the notebooks' kernels begin with it
        startup = folder / "ipython" / "profile_default" / "startup"
        startup.mkdir(parents=True, exist_ok=True)
        (startup / "noise.py").write_text(
            "from tests import noise\nnoise.install()\n", encoding="utf8"
        )
        environment["IPYTHONDIR"] = str(folder / "ipython")
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile"]
    command += ["--no-header", f"--junitxml={report}", *targets]
    with (folder / f"{name}.log").open("w", encoding="utf8") as log:
        status = subprocess.run(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    if not report.is_file():
        return 0, [f"pytest ended with {status.returncode}, see {log.name}"]
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = [
        f"{case.get('classname')}::{case.get('name')}"
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    ]
    if status.returncode and not failed:
        failed = [f"pytest ended with {status.returncode}, see {log.name}"]
    return len(cases), failed


def main() -> int:
    """Run the settings, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SETTING", help=", ".join(SETTINGS))
    parser.add_argument("--lessons", action="store_true", help="the notebooks only")
    options = parser.parse_args()
    if unknown := set(options.names) - set(SETTINGS):
        parser.error(f"no setting {sorted(unknown)}; there are: {', '.join(SETTINGS)}")
    targets = ["notebooks"]
    if not options.lessons:
        targets += [f"tests/test_{name}.py" for name in NUMERIC]
    features = Path("/proc/cpuinfo")
    has_avx512 = not features.is_file() or "avx512f" in features.read_text()
    folder = Path(tempfile.mkdtemp(prefix="portability-"))
    faults = 0
    print(f"Logs are in {folder}.")
    for name in options.names or SETTINGS:
        if name == "SkylakeX" and not has_avx512:
            print(f"{name:14} left out: this CPU has no AVX-512")
            continue
        tests, failed = run(name, targets, folder)
        faults += len(failed)
        print(f"{name:14} {tests:5} tests, {len(failed)} failed", flush=True)
        for test in failed:
            print(f"    ✗ {test}", flush=True)
    passed = "every setting passed" if not faults else f"{faults} failures"
    print(passed)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
