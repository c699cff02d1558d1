"""A page on what models know and what they make up: one self-contained HTML file.

    python src/page.py report.html vanilla.jsonl perceiver.jsonl [--finetune_corpus_path birth_places_train.tsv]

Each run is a file of records written by `evaluate ... --details_path`.
"""

if __name__ == "__main__":
    import preflight  # noqa: F401 - before anything that may be missing

import json
import math
import sys
from collections.abc import Mapping, Sequence, Set
from html import escape
from pathlib import Path

from calibration import auroc, calibration_error, fit_threshold, reliability, risk_coverage
from console import Parser, UserError, run_reporting_errors
from files import write_text
from inventions import FOLLOWED, INVENTED, MOST, Taught, among_most_taught, most_frequent, read_taught, what_they_follow, wrong_answers
from mentions import REACHES
from recall import Record, read_records, sure_and_right

Runs = Mapping[str, Sequence[Record]]
WIDTH, HEIGHT, MARGIN, PADDING = 330, 230, 58, 24  # of a chart: labels to the left and below, nothing to the right and above

STYLE = """
:root { color-scheme: light dark; --ink: #1c2024; --soft: #5b636b; --line: #d5dae0; --paper: #ffffff; --shade: #f3f5f7;
  --run0: #0b62c4; --run1: #b3480b; --run2: #0a7a55; --run3: #8a3fb0; --run4: #a3324e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #a3abb3; --line: #3a4148; --paper: #15181b; --shade: #1f2428;
  --run0: #6db1ff; --run1: #ff9d5c; --run2: #4fd1a1; --run3: #d09bf0; --run4: #ff8da6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1rem 4rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink);
  background: var(--paper); }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2.5rem; } h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
p, figcaption { max-width: 46rem; } figcaption, .soft { color: var(--soft); font-size: .9rem; }
.wide { overflow-x: auto; } .runs { display: flex; flex-wrap: wrap; gap: 1rem 2rem; } .runs > * { min-width: 0; max-width: 100%; }
figure { margin: 0; max-width: 100%; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; } th, td { padding: .3rem .7rem; text-align: left;
  border-bottom: 1px solid var(--line); vertical-align: top; } th { font-weight: 600; }
tbody th { font-weight: 400; min-width: 7rem; } td.n, th.n { text-align: right; white-space: nowrap; }
.bar, .track { display: block; height: .6rem; border-radius: 2px; } .track { background: var(--shade); width: 7rem; margin-top: .45rem; }
svg { max-width: 100%; height: auto; } svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.axis { stroke: var(--soft); fill: none; } .grid { stroke: var(--line); fill: none; }
.run0 { --run: var(--run0); } .run1 { --run: var(--run1); } .run2 { --run: var(--run2); } .run3 { --run: var(--run3); }
.run4 { --run: var(--run4); } .bar { background: var(--run); } .curve { stroke: var(--run); fill: none; stroke-width: 2; }
.dot { fill: var(--run); } .key { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; background: var(--run); }
form { display: flex; flex-wrap: wrap; gap: .6rem 1rem; margin: 1rem 0; } label { display: flex; flex-direction: column; font-size: .9rem; }
input, select { font: inherit; padding: .3rem .5rem; color: inherit; background: var(--shade); border: 1px solid var(--line);
  border-radius: 4px; max-width: 100%; }
:focus-visible { outline: 2px solid var(--run0); } .right { color: var(--run2); } .wrong { color: var(--run1); }
"""

SCRIPT = """
const rows = JSON.parse(document.getElementById('people').textContent);
const form = document.querySelector('form'), body = document.querySelector('#table tbody'), count = document.getElementById('count');
const cell = (row, text, kind) => { const td = row.insertCell(); td.textContent = text; if (kind) td.className = kind; };
function show() {
  const wanted = new FormData(form), text = wanted.get('text').toLowerCase();
  const fits = (name, value) => !wanted.get(name) || String(value) === wanted.get(name);
  const found = rows.filter(([run, person, says, place, reach, right]) => fits('run', run) && fits('reach', reach) && fits('right', right)
    && [person, says, place].join(' ').toLowerCase().includes(text));
  body.replaceChildren();
  for (const [run, person, says, place, reach, right, sure, others] of found.slice(0, 1000)) {
    const row = body.insertRow(), verdict = right === null ? '' : right ? 'right' : 'wrong';
    cell(row, run); cell(row, person); cell(row, says, verdict); cell(row, verdict); cell(row, place ?? '');
    cell(row, (100 * sure).toFixed(1) + '%', 'n'); cell(row, others); cell(row, reach ?? '');
  }
  count.textContent = found.length + ' of ' + rows.length + ' answers' + (found.length > 1000 ? ', the first 1000 shown' : '');
}
form.addEventListener('input', show); form.addEventListener('submit', event => event.preventDefault()); show();
"""


def make_page(runs: Runs, taught: Taught) -> str:
    """The page of some runs, whose records may come without places; `taught` may be empty."""
    graded = {name: records for name, records in runs.items() if records and all(r.right is not None for r in records)}
    sections = [summary(runs, graded)]
    if graded:
        sections += [by_reach(graded), reliability_charts(graded), risk_chart(graded), inventions_tables(graded, taught)]
    sections.append(people_table(runs))
    people = [row for name, records in runs.items() for row in table_rows(name, records)]
    data = json.dumps(people, ensure_ascii=False).replace("<", "\\u003c")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>What it knows, and what it makes up</title>
<link rel="icon" href="data:,">
<style>{STYLE}</style>
</head>
<body>
<h1>What it knows, and what it makes up</h1>
{"".join(sections)}
<script type="application/json" id="people">{data}</script>
<script>{SCRIPT}</script>
</body>
</html>
"""


# ---------------------------------------------------------------- sections


def summary(runs: Runs, graded: Runs) -> str:
    """A line for each run, and the confidence that best separates what it knows from what it makes up."""
    rows, lines = [], []
    numbers = {name: number for number, name in enumerate(graded)}  # of the colours, as in the charts
    for name, records in runs.items():
        if name not in graded:
            rows.append([escape(name), str(len(records)), "no places given", "–", "–"])
            continue
        key = keyed(name, numbers[name])
        sure, right = sure_and_right(records)
        area = auroc(sure, right)
        figures = [share(sum(right), len(right)), f"{calibration_error(sure, right):.3f}", "–" if area is None else f"{area:.3f}"]
        rows.append([key, str(len(records)), *figures])
        lines.append(f"<li>{key}: {escape(threshold_told(sure, right))}</li>")
    return (
        "<p>Each answer comes with the probability that the model gives to it. What that is worth is measured here on "
        "questions whose answer is known.</p>"
        + table(["run", "asked", "right", "calibration error", "AUROC"], rows, {1, 2, 3, 4}, {0})
        + f"<ul>{''.join(lines)}</ul>"
        + '<p class="soft">The answer is the greedy one, letter by letter; a runner-up may be likelier as a whole. Calibration '
        "error: the mean distance between confidence and the share that is right, in ten bins. AUROC: the "
        "chance that a right answer is surer than a wrong one; 0.5 tells nothing. The confidence named for each run is the one "
        "that best separates right from wrong answers.</p>"
    )


def threshold_told(sure: Sequence[float], right: Sequence[bool]) -> str:
    """Where confidence separates right from wrong answers, in words."""
    threshold = fit_threshold(sure, right)
    if threshold is None or not threshold.given:
        return "at no confidence are most answers right"
    given = f"of the answers at least {threshold.confidence:.0%} sure {threshold.given_right} of {threshold.given} are right"
    return given + (f", of the others {threshold.withheld_right} of {threshold.withheld}" if threshold.withheld else "")


def by_reach(graded: Runs) -> str:
    """Accuracy by where the text names the place, over questions that name a person."""
    apart = sum(record.reach is None for records in graded.values() for record in records)
    if apart == sum(map(len, graded.values())):
        return ""
    rows = []
    for kind in REACHES:
        for number, (name, records) in enumerate(graded.items()):
            some = [record.right for record in records if record.reach == kind]
            bar = f'<span class="track"><span class="bar" style="width:{percent(sum(some), len(some)):.1f}%"></span></span>'
            told = share(sum(some), len(some))
            rows.append([kind, name, told, f"{sum(some)} of {len(some)}", f'<span class="run{number % 5}">{bar}</span>'])
    meaning = "".join(f"<li>{kind}: {means}</li>" for kind, means in REACHES.items())
    return (
        "<h2>Could it know?</h2><p>If pretraining did not show the place in the person's line, a right answer was guessed, or "
        "read elsewhere.</p>"
        + (f"<p>Answers to questions other than “Where was [name] born?” ({apart}) are left out here.</p>" if apart else "")
        + table(["the text names the place", "run", "right", "people", "share"], rows, {2, 3}, {4})
        + f'<ul class="soft">{meaning}</ul>'
    )


def reliability_charts(graded: Runs) -> str:
    """Accuracy against confidence, a chart for each run."""
    figures = []
    for number, (name, records) in enumerate(graded.items()):
        bins = reliability(*sure_and_right(records))
        points = " ".join(f"{x(b.confidence):.1f},{y(b.accuracy):.1f}" for b in bins)
        most = max(b.count for b in bins)
        dots = "".join(
            f'<circle class="dot" cx="{x(b.confidence):.1f}" cy="{y(b.accuracy):.1f}" r="{2 + 6 * math.sqrt(b.count / most):.1f}">'
            f"<title>{b.count} answers, {b.confidence:.0%} sure, {b.accuracy:.0%} right</title></circle>"
            for b in bins
        )
        told = "; ".join(f"{b.confidence:.0%} sure: {b.accuracy:.0%} right of {b.count}" for b in bins)
        drawn = f'<path class="grid" d="M{x(0)},{y(0)} L{x(1)},{y(1)}"/><polyline class="curve" points="{points}"/>{dots}'
        figures.append(chart(f"Reliability of {name}. {told}", drawn, "confidence", "right", number, name))
    return (
        "<h2>Does its confidence mean anything?</h2><p>On the straight line, of answers given with 80% confidence 80% are right; below it, "
        f'the model is surer than it should be. Larger dots are more answers.</p><div class="runs">{"".join(figures)}</div>'
    )


def risk_chart(graded: Runs) -> str:
    """How many of the surest answers are wrong."""
    curves, told, alternatives = [], [], []
    for number, (name, records) in enumerate(graded.items()):
        curve = risk_coverage(*sure_and_right(records))
        points = " ".join(f"{x(point.coverage):.1f},{y(point.risk):.1f}" for point in curve)
        curves.append(f'<polyline class="curve run{number % 5}" points="{points}"><title>{escape(name)}</title></polyline>')
        at = [curve[math.ceil(goal * len(curve)) - 1] for goal in (0.25, 0.5, 0.75, 1.0)]
        told.append([keyed(name, number), *(f"{point.risk:.0%} (at least {point.confidence:.0%} sure)" for point in at)])
        alternatives.append(f"{name}: {', '.join(f'{point.risk:.0%}' for point in at)} wrong")
    alternative = f"Risk by coverage. Of the surest 25%, 50%, 75% and 100%: {'; '.join(alternatives)}"
    figure = chart(alternative, "".join(curves), "answered", "wrong", 0, "")
    head = ["wrong among", "the surest 25%", "50%", "75%", "all"]
    return (
        "<h2>What if it answers only when it is sure?</h2><p>Keeping it silent below some confidence gives fewer answers, and "
        f'fewer wrong ones.</p><div class="runs">{figure}<div>{table(head, told, {1, 2, 3, 4}, {0})}</div></div>'
    )


def inventions_tables(graded: Runs, taught: Taught) -> str:
    """The most frequent wrong answers, and what they follow."""
    parts = ["<h2>What does it make up, and what does that follow?</h2>"]
    if not taught:
        parts.append('<p class="soft">Given the finetuning table (--finetune_corpus_path), this shows what inventions follow.</p>')
    for name, records in graded.items():
        wrong = wrong_answers(records)
        rows = [[place, str(made), str(right), str(said)] for place, made, right, said in most_frequent(records, taught)]
        tables, shares = f"<div>{table(INVENTED, rows, {1, 2, 3})}</div>", ""
        if taught and wrong:
            follows = [follow.cells for follow in what_they_follow(records, taught)]
            tables += f"<div>{table(FOLLOWED, follows, {1, 2, 3})}</div>"
            made_up, true = among_most_taught(records, taught)
            shares = f"<p>{made_up:.0%} of these are among the {MOST} places taught most; of the right places, {true:.0%}.</p>"
        parts.append(f"<h3>{escape(name)}: {len(wrong)} wrong answers</h3><div class='runs'>{tables}</div>{shares}")
    parts.append(
        '<p class="soft">Taught: how often the finetuning table has it as an answer. By chance: the share that the same inventions '
        "would reach, dealt out to the same people at random.</p>"
    )
    return "".join(parts)


def people_table(runs: Runs) -> str:
    """All answers, with a filter."""

    def options(names: Sequence[str], labels: Mapping[str, str] | None = None) -> str:
        shown = "".join(f'<option value="{escape(n)}">{escape((labels or {}).get(n, n))}</option>' for n in names)
        return f'<option value="">all</option>{shown}'

    head = ["run", "person", "says", "answer", "place", "sure", "runners-up", "the text names the place"]
    return f"""<h2>Everybody</h2>
<form><label>name or place<input name="text" type="search"></label>
<label>run<select name="run">{options(list(runs))}</select></label>
<label>the text names the place<select name="reach">{options(REACHES)}</select></label>
<label>answer<select name="right">{options(["true", "false"], {"true": "right", "false": "wrong"})}</select></label></form>
<p id="count" class="soft" role="status"></p>
<div class="wide" id="table" tabindex="0" role="region" aria-label="all answers">{table(head, [], {5}, wide=False)}</div>
"""


def table_rows(name: str, records: Sequence[Record]) -> list[list[object]]:
    """A run's records as rows, in the order in which the script unpacks them."""
    return [
        [
            name,
            record.person or record.question,
            record.prediction,
            record.place,
            record.reach,
            record.right,
            round(record.confidence, 4),
            ", ".join(f"{place} {math.exp(score):.0%}" for place, score in record.runners_up[:3]),
        ]
        for record in records
    ]


# ---------------------------------------------------------------- pieces


def keyed(name: str, number: int) -> str:
    """A run's name after its colour."""
    return f'<span class="key run{number % 5}"></span> {escape(name)}'


def percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0


def share(part: int, whole: int) -> str:
    return f"{percent(part, whole):.1f}%" if whole else "–"


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Set[int] = frozenset(), trusted: Set[int] = frozenset(), wide: bool = True
) -> str:
    """A table; the columns in `numbers` are right-aligned, those in `trusted` already hold HTML."""
    kinds = [' class="n"' if column in numbers else "" for column in range(len(head))]
    top = "".join(f'<th scope="col"{kind}>{escape(title)}</th>' for title, kind in zip(head, kinds, strict=True))
    lines = []
    for row in rows:
        cells = [text if c in trusted else escape(text) for c, text in enumerate(row)]
        cells = [
            f'<th scope="row"{kinds[0]}>{cells[0]}</th>',
            *(f"<td{kind}>{text}</td>" for text, kind in zip(cells[1:], kinds[1:], strict=True)),
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    made = f"<table><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
    told = escape(", ".join(filter(None, head)))
    return f'<div class="wide" tabindex="0" role="region" aria-label="{told}">{made}</div>' if wide else made


def x(value: float) -> float:
    """The position of a share in a chart, from its left edge."""
    return MARGIN + value * (WIDTH - MARGIN - PADDING)


def y(value: float) -> float:
    """The same from its top edge."""
    return HEIGHT - MARGIN - value * (HEIGHT - MARGIN - PADDING)


def chart(told: str, drawn: str, across: str, up: str, number: int, name: str) -> str:
    """A chart of shares against shares; `told` says the same in words."""
    marks = "".join(
        f'<path class="grid" d="M{x(0)},{y(v)} H{x(1)}"/><text x="{x(0) - 6}" y="{y(v) + 4}" text-anchor="end">{v:.0%}</text>'
        f'<text x="{x(v)}" y="{y(0) + 16}" text-anchor="middle">{v:.0%}</text>'
        for v in (0.0, 0.5, 1.0)
    )
    return (
        f'<figure class="run{number % 5}"><svg role="img" aria-label="{escape(told)}" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}">'
        f'{marks}<path class="axis" d="M{x(0)},{y(1)} V{y(0)} H{x(1)}"/>{drawn}'
        f'<text x="{x(0.5)}" y="{HEIGHT - 14}" text-anchor="middle">{across}</text>'
        f'<text transform="translate(14 {y(0.5)}) rotate(-90)" text-anchor="middle">{up}</text></svg>'
        f"{f'<figcaption>{escape(name)}</figcaption>' if name else ''}</figure>"
    )


def write_page(path: str | Path, runs: Runs, taught: Taught) -> None:
    """Write the page to `path`. Raises UserError if that fails."""
    write_text(path, make_page(runs, taught))


def main() -> None:
    parser = Parser(description="Make a page of the answers of some runs.")
    parser.add_argument("page", type=Path, help="the HTML file to write")
    parser.add_argument("details", type=Path, nargs="+", help="what evaluate --details_path wrote, a file for each run")
    parser.add_argument("--finetune_corpus_path", help="the finetuning table, to see what inventions follow")
    args = parser.parse_args()
    if args.page.suffix != ".html":
        raise UserError(f"the page comes first, and its name ends in .html: {args.page} does not")
    names = [path.stem for path in args.details]
    runs = {path.stem if names.count(path.stem) == 1 else str(path): read_records(path) for path in args.details}
    write_page(args.page, runs, read_taught(args.finetune_corpus_path))
    print(f"{args.page}: {len(runs)} runs, {sum(map(len, runs.values()))} answers")


if __name__ == "__main__":
    sys.exit(run_reporting_errors(main))
