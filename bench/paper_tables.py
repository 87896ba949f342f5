"""`make tables`, `make tables-quick`: the paper's tables in miniature, on the toy world."""

from __future__ import annotations

import argparse
import logging
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import gallery, methods, plans
from bench.bars import bars
from bench.fingerprints import REPOSITORY
from bench.plans import METHODS, Plan
from bench.report import Report, as_json, as_text
from bench.runs import Run, workers
from bench.tables import TABLES, Figures
from bench.workers import usual_count
from devhost.datadir import TOY_WEIGHTS
from toyworld.writing import replacing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image


def main(arguments: Sequence[str]) -> int:
    """Draw, measure, and write the report and the sheets."""
    options = _options(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("OMG").setLevel(logging.ERROR)
    began = time.monotonic()
    plan, notes = _plan(options)
    with workers(options.jobs, options.weights, options.cache) as crew:
        run = Run(options.weights, options.cache, crew)
        plan, approval = run.approve(plan, options.tables)
        draws = plan.draws(options.tables)
        drawn = run.draw(draws)
    figures = Figures(run.scores(draws))
    matrices = gallery.matrices(plan, figures, run.known)
    tables = [table for number in options.tables for table in TABLES[number](plan, figures)]
    pictures: dict[str, Image.Image] = {}
    if 2 in options.tables:
        pictures["contact-sheet"] = gallery.methods_sheet(plan, run.album, figures)
    if 4 in options.tables:
        pictures["start-strip"] = gallery.start_strip(plan, run.album, figures)
    if 5 in options.tables:
        pictures["mixing"] = gallery.mixing_picture(matrices)
    notes.append(str(approval))
    notes.append(f"{len(draws)} pictures, {drawn} of them drawn in this run; verified from {run.threshold:.3f} on.")
    command = shlex.join(["python", "-m", "bench.paper_tables", *arguments])
    seconds = time.monotonic() - began
    report = Report(command, seconds, tables, bars(plan, figures), matrices, figures.scores, notes)
    _write(options.out, report, pictures)
    sys.stdout.write(f"{as_text(report)}\nWritten to {options.out}.\n")
    return 0


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.paper_tables", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="few pictures, methods and variants")
    add("--tables", type=int, nargs="+", choices=plans.TABLES, default=list(plans.TABLES), help="which tables")
    add("--methods", nargs="+", choices=list(methods.METHODS), help="which methods beside ours")
    add("--count", type=int, help="pictures in a cell of table 2; the other tables follow it")
    add("--out", type=Path, help="folder for report and sheets; out/tables or out/tables-quick if not given")
    add("--weights", type=Path, default=TOY_WEIGHTS, help="folder of the checkpoint, LoRAs and instruments")
    add("--cache", type=Path, default=REPOSITORY / ".toyworld" / "pictures", help="folder of the pictures drawn so far")
    add("--jobs", type=int, default=usual_count(), help="processes that draw, one thread and about 1 GB each")
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error(f"--jobs: expected 1 or more, found {options.jobs}")
    if options.count is not None and options.count < 1:
        parser.error(f"--count: expected 1 or more, found {options.count}")
    options.out = options.out or REPOSITORY / "out" / ("tables-quick" if options.quick else "tables")
    return options


def _plan(options: argparse.Namespace) -> tuple[Plan, list[str]]:
    """The plan, and notes on what it leaves out."""
    chosen: dict[str, Any] = {} if options.count is None else {"count": options.count}
    notes = []
    if options.methods:
        chosen["methods"] = [variant for variant in METHODS if variant.method in options.methods]
    elif not options.quick:
        chosen["methods"] = [variant for variant in METHODS if variant.method in methods.METHODS]
        missing = [variant.label for variant in METHODS if variant.method not in methods.METHODS]
        notes += [f"Not measured, not there: {', '.join(missing)}."] if missing else []
    return (plans.quick if options.quick else plans.full)(**chosen), notes


def _write(folder: Path, report: Report, pictures: dict[str, Image.Image]) -> None:
    for name, text in (("tables.md", as_text(report)), ("tables.json", as_json(report))):
        with replacing(folder / name) as part:
            part.write_text(text, encoding="utf8")
    for name, picture in pictures.items():
        with replacing(folder / f"{name}.png") as part:
            picture.save(part, format="PNG")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
