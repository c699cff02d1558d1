"""How sure a model is, what its text says, and the page that shows both."""

import json
import math
import os
import random
from argparse import Namespace
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

import page
from calibration import auroc, calibration_error, fit_threshold, reliability, risk_coverage
from console import UserError
from curves import Curves
from dataset import CharCorruptionDataset
from decoding import likeliest_answers
from evaluation import ask, measure_certainty, verdict
from helpers import FLAGS, run_here, sharp_model
from inventions import among_most_taught, language, most_frequent, read_taught, what_they_follow
from mentions import lines_about, look_up, offset_in, person_of, reach_of
from model import GPT, GPTConfig
from page import make_page, write_page
from recall import Record, make_records, read_records, score_answers, sure_and_right, write_records
from recipes import VARIANTS
from tables import Table, read_predictions, read_questions
from trainer import TrainerConfig
from watcher import Watcher

# ---------------------------------------------------------------- how sure


def probability(model, prompt, said):
    """The log-probability of characters after a prompt, with one full forward pass for each."""
    total = 0.0
    for n, character in enumerate(said):
        logits, _ = model(torch.tensor([[*prompt, *said[:n]]]))
        total += F.log_softmax(logits[0, -1].double(), dim=-1)[character].item()
    return total


@pytest.mark.parametrize("variant", VARIANTS)
def test_log_probability_and_entropy_are_those_of_one_character_at_a_time(variant, monkeypatch):
    monkeypatch.setattr("recall.AT_A_TIME", 2)  # three questions in two batches
    model = sharp_model(variant)
    prompts, said, end = [[1, 2, 3], [4, 5, 6, 7, 8, 2, 3, 3], [5]], [[4, 4], [3], []], 8
    scores = score_answers(model.train(), prompts, said, end, 3)  # dropout is off all the same
    with torch.no_grad():
        for prompt, answered, (log_probability, entropy, others) in zip(prompts, said, scores, strict=True):
            assert log_probability == pytest.approx(probability(model, prompt, [*answered, end]), abs=1e-5)
            first = F.softmax(model(torch.tensor([prompt]))[0][0, -1].double(), dim=-1)
            assert entropy == pytest.approx(torch.distributions.Categorical(first).entropy().item(), abs=1e-5)
            for other, score in others:
                assert score == pytest.approx(probability(model, prompt, [*other, end]), abs=1e-5)


def test_parameters_too_large_to_compute_with_give_no_record():
    model = sharp_model("vanilla")
    for parameter in (model.tok_emb.weight, model.head.weight):
        parameter.data.fill_(1e38)
    with pytest.raises(UserError, match="no probability"):
        score_answers(model, [[1, 2, 3]], [[4]], 8, 0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_beam_finds_the_likeliest_answers_of_all(variant):
    """A beam as wide as the number of beginnings misses nothing: all answers of up to two characters are enumerated."""
    model, prompts, end = sharp_model(variant), [[1, 2, 3], [4, 5, 6, 7, 2]], 0
    with torch.no_grad():
        for prompt, found in zip(prompts, likeliest_answers(model, prompts, 2, end, width=81, least=-1000), strict=True):
            answers = [(), *((a,) for a in range(1, 9)), *((a, b) for a in range(1, 9) for b in range(1, 9))]
            expected = sorted(((probability(model, prompt, [*said, end]), said) for said in answers), reverse=True)
            assert [tuple(said) for said, _ in found] == [said for _, said in expected]
            assert [score for _, score in found] == pytest.approx([score for score, _ in expected], abs=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_narrow_beam_goes_on_with_the_likeliest_beginnings(variant):
    model, prompts, end = sharp_model(variant), [[1, 2, 3], [4, 5, 6, 7, 2]], 0
    with torch.no_grad():
        for prompt, found in zip(prompts, likeliest_answers(model, prompts, 3, end, width=8, least=-1000), strict=True):
            begun, ended = [()], []
            for _ in range(4):
                ended += begun
                longer = [(*said, character) for said in begun for character in range(1, 9)]
                begun = sorted(longer, key=lambda said: probability(model, prompt, said), reverse=True)[:8]
            best = sorted(ended, key=lambda said: probability(model, prompt, [*said, end]), reverse=True)[:8]
            assert [tuple(said) for said, _ in found] == best


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_answer_is_longer_than_it_may_be_nor_than_the_block_nor_less_likely_than_asked_for(variant):
    model, end = sharp_model(variant), 2
    prompts = [[3, 1, 4], [1, 5, 8, 8, 6], [7] * (model.get_block_size() - 2)]
    for prompt, found in zip(prompts, likeliest_answers(model, prompts, 6, end, 4, least=-9.0), strict=True):
        assert found or len(prompt) > 5  # if the block leaves no room, there may be none
        assert all(len(said) <= 6 and len(prompt) + len(said) <= model.get_block_size() and score > -9 for said, score in found)
        assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)


# ---------------------------------------------------------------- what confidence is worth

PAIRS = st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9, 1.0]) | st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


@given(PAIRS)
def test_auroc_is_the_share_of_pairs_that_are_in_order(pairs):
    right, wrong = [s for s, r in pairs if r], [s for s, r in pairs if not r]
    found = auroc(*zip(*pairs, strict=True))
    if not right or not wrong:
        assert found is None
    else:
        assert found == pytest.approx(sum((a > b) + (a == b) / 2 for a in right for b in wrong) / len(right) / len(wrong))


@given(PAIRS)
def test_no_threshold_tells_right_from_wrong_better(pairs):
    sure, right = zip(*pairs, strict=True)

    def told(least):
        return sum((s >= least) == r for s, r in pairs)

    threshold = fit_threshold(sure, right)
    assert told(threshold.confidence) == max(told(least) for least in (*sure, 2.0))
    assert threshold.given == sum(s >= threshold.confidence for s in sure) and threshold.withheld == len(pairs) - threshold.given
    assert threshold.given_right == sum(r for s, r in pairs if s >= threshold.confidence)
    assert threshold.withheld_right == sum(r for s, r in pairs if s < threshold.confidence)
    assert fit_threshold([], []) is None


@pytest.mark.parametrize(
    ("confidence", "graded", "said"),
    [
        (0.9, {0.8: True, 0.3: False}, "Probably recalled: of the answers to dev.tsv at least 80% sure, 1 of 1 are right."),
        (0.5, {0.8: True, 0.3: False}, "Probably invented: of the answers to dev.tsv less than 80% sure, 0 of 1 are right."),
        (0.5, {0.8: False}, "Probably invented: of its answers to dev.tsv, 0 of 1 are right, and at no confidence are most of them right."),
        (0.5, {0.9: True, 0.8: True}, "Recalled or invented? It was surer of all its answers to dev.tsv, of which 2 of 2 are right."),
        (0.5, {}, "Recalled or invented? There is no table to judge by: give one with places, with --eval_corpus_path."),
    ],
)
def test_a_verdict_goes_by_what_came_of_answers_as_sure(confidence, graded, said):
    assert verdict(confidence, "dev.tsv", fit_threshold(list(graded), list(graded.values()))) == said


def test_a_question_of_another_form_is_judged_by_certainty_alone(monkeypatch, capsys):
    record = Record("Who wrote Emma?", None, "Austen", math.log(0.9), [("Dickens", math.log(0.05))], 0.0, None)
    monkeypatch.setattr("evaluation.answer_questions", lambda *_, **__: ["Austen"])
    monkeypatch.setattr("evaluation.make_records", lambda *_: [record])
    monkeypatch.setattr("evaluation.measure_certainty", lambda *_: fit_threshold([0.8], [True]))
    ask(None, None, record.question, "dev.tsv", Table(["q"], ["p"]))
    judged = "Probably recalled: of the answers to dev.tsv at least 80% sure, 1 of 1 are right."
    unchecked = 'Whether the text names the person was not checked: that takes a question of the form "Where was [name] born?"'
    assert capsys.readouterr().out == f"  90.0%  Austen\n   5.0%  Dickens\n{unchecked}\n{judged}\n"


def test_certainty_is_measured_by_the_answers_to_a_table(monkeypatch):
    sure = {"Ulm": 0.9, "Rome": 0.7, "Oslo": 0.2}
    monkeypatch.setattr("evaluation.answer_questions", lambda *_: list(sure))
    monkeypatch.setattr("evaluation.score_predictions", lambda *_, **__: [(math.log(p), 0.0, []) for p in sure.values()])
    found = measure_certainty(None, None, Table(["a", "b", "c"], ["Ulm", "Rome", "Bonn"]))
    assert found == (pytest.approx(0.7), 2, 2, 1, 0)  # at least 70% sure: two, both right; less: one, wrong


@given(PAIRS)
def test_bins_hold_every_answer_once_and_coverage_grows(pairs):
    sure, right = zip(*pairs, strict=True)
    bins = reliability(sure, right)
    assert sum(b.count for b in bins) == len(pairs)
    assert sum(b.count * b.accuracy for b in bins) == pytest.approx(sum(right))
    assert sum(b.count * b.confidence for b in bins) == pytest.approx(sum(sure))
    coverage, risk, confidence = zip(*risk_coverage(sure, right), strict=True)
    assert list(confidence) == sorted(sure, reverse=True)
    assert list(coverage) == [n / len(pairs) for n in range(1, len(pairs) + 1)]
    assert risk[-1] == pytest.approx(1 - sum(right) / len(right))


def test_calibration_error_and_risk_of_a_worked_example():
    tenths = [b.count for b in reliability([*(n / 20 for n in range(1, 20, 2)), 1.0], [True] * 11)]
    assert tenths == [1] * 9 + [2]
    sure, right = [0.95, 0.91, 0.55, 0.52, 0.12], [True, True, True, False, False]
    assert calibration_error(sure, right) == pytest.approx((2 * 0.07 + 2 * abs(0.535 - 0.5) + 1 * 0.12) / 5)
    assert risk_coverage(sure, right) == [(0.2, 0.0, 0.95), (0.4, 0.0, 0.91), (0.6, 0.0, 0.55), (0.8, 0.25, 0.52), (1.0, 0.4, 0.12)]
    assert calibration_error([1.0] * 10, [True] * 10) == 0


# ---------------------------------------------------------------- what the text says

TEXT = [
    "Ada Byron. Ada Byron was born in London.",
    "J. R. Hartley. An author, born in Leeds, of J. R. Hartley's books on Ada Byron.",
    f"Bo Far. {'x' * 100} Bo Far comes from Lima.",
    "Mentions Cy Absentee. But no line of Cy's.",
]


def test_where_the_text_names_a_person_and_a_place():
    people = [person_of(f"Where was {name} born?") for name in ("Ada Byron", "J. R. Hartley", "Bo Far", "Cy Absentee", "Di Nowhere")]
    lines, named = lines_about(people, TEXT)
    assert lines == {"Ada Byron": [TEXT[0]], "J. R. Hartley": [TEXT[1]], "Bo Far": [TEXT[2]]}
    assert named == {"Ada Byron", "J. R. Hartley", "Bo Far", "Cy Absentee"}
    assert offset_in(lines["Ada Byron"], "London") == TEXT[0].index("London") and offset_in(lines["Ada Byron"], "Lima") is None
    assert offset_in(["Ad Eb. A Russian, born in Russia."], "Russia") == 26  # a place, not a part of a word
    assert reach_of("London", 33, True, shown=112) == "within reach" and reach_of("Lima", None, True, shown=112) == "never named"
    assert reach_of("Lima", 108, True, shown=112) == "within reach"  # characters 109 to 112
    assert reach_of("Lima", 109, True, shown=112) == "beyond" and reach_of("Lima", None, False, shown=112) == "person absent"
    found = look_up(
        ["Where was Ada Byron born?", "Where was Bo Far born?", "Where was Di Nowhere born?"], ["London", "Lima", "Lima"], TEXT, 112
    )
    assert found[0] == ("Ada Byron", True, 33, "within reach") and found[1].reach == "beyond" and found[2].reach == "person absent"
    assert look_up(["Where was Bo Far born?"], None, TEXT, 112) == [("Bo Far", True, None, None)]
    assert person_of("Who wrote Emma?") is None and person_of("Where was Bo Far born? ") == "Bo Far"
    assert look_up(["Who wrote Emma?"], ["Austen"], TEXT, 112) == [(None, None, None, None)]
    assert lines_about(["Ann Lee"], ["Mary Ann Leeson. Born."]) == ({}, set())  # a part of another name
    assert lines_about(["Al Om (poet)"], ["A friend of Al Om (poet)."]) == ({}, {"Al Om (poet)"})
    assert offset_in(["Ad Eb. Born in Washington (D.C.)."], "Washington (D.C.)") == 15


@given(st.lists(st.text("Ab. '(", min_size=1, max_size=5), max_size=4), st.lists(st.text("Ab. '(", max_size=12), max_size=4))
def test_whoever_is_named_as_a_whole_word_anywhere_is_found_and_nobody_else(people, documents):
    def named(person, text):
        ends = [(at, at + len(person)) for at in range(len(text)) if text.startswith(person, at)]
        return any(not text[:start][-1:].isalnum() and not text[end:][:1].isalnum() for start, end in ends)

    begin = {person for person in people for text in documents if text.startswith(f"{person}. ")}
    assert lines_about(people, documents)[1] == begin | {person for person in people if any(named(person, text) for text in documents)}


def test_a_place_is_within_reach_if_pretraining_shows_it_to_its_end():
    for n, reach in ((29, "within reach"), (30, "beyond")):  # of a block of 40 characters, pretraining shows 35
        corpus = CharCorruptionDataset(f"ab. {'c' * n} b\nWhere was born?", 40)
        model = GPT(GPTConfig(corpus.vocab_size, 40, n_layer=1, n_head=1, n_embd=8))
        assert make_records(model, corpus, ["Where was ab born?"], ["b"], ["c"])[0].reach == reach


def test_a_record_lists_the_four_likeliest_other_answers(monkeypatch):
    corpus = CharCorruptionDataset("ab. c\nWhere was born?", 40)
    model = GPT(GPTConfig(corpus.vocab_size, 40, n_layer=1, n_head=1, n_embd=8))
    found = [([corpus.stoi[said]], -float(n)) for n, said in enumerate("acbrno")]
    monkeypatch.setattr("recall.likeliest_answers", lambda model, prompts, steps, end, width: [found[:width]] * len(prompts))
    records = make_records(model, corpus, ["Where was ab born?"] * 2, None, ["c", "e"])
    assert ["".join(said for said, _ in record.runners_up) for record in records] == ["abrn", "acbr"]


def test_records_hold_what_the_model_says_and_survive_the_disk(tmp_path):
    corpus = CharCorruptionDataset("ab. c\nbc. a\nWhere was born?", 40)
    model = sharp_model("vanilla", 40)
    questions, places = ["Where was ab born?", "Where was ca born?"], ["c", "b"]
    corpus_size = corpus.vocab_size
    model.head, model.tok_emb = torch.nn.Linear(16, corpus_size, bias=False), torch.nn.Embedding(corpus_size, 16)
    predictions = ["c", ""]
    records = make_records(model, corpus, questions, places, predictions)
    assert [record.place for record in records] == places
    assert [record.right for record in records] == [True, False] and records[0].reach == "within reach" and records[0].place_offset == 4
    assert [record.person_in_text for record in records] == [True, False] and records[1].reach == "person absent"
    assert all(said != record.prediction for record in records for said, _ in record.runners_up)
    records[0] = replace(records[0], prediction="c\u2028\x85")  # which end a line for Python, but not for JSON
    write_records(tmp_path / "a.jsonl", records)
    again = read_records(tmp_path / "a.jsonl")
    assert [r.question for r in again] == questions and again[0].log_probability == records[0].log_probability
    assert all(json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n"))
    fine = json.loads(json.dumps(asdict(records[0])))
    kinds = {"log_probability": 800, "runners_up": None, "right": "no", "person": 3, "first_letter_entropy": "x", "reach": "far"}
    wrong_kinds = [json.dumps(fine | {name: value}) for name, value in [*kinds.items(), ("place", "\ud800")]]
    wrong_kinds += [json.dumps(fine | {"log_probability": -(10**400)}), "[" * 10**5]
    for wrong in ("{}", "[1]", "no JSON", '{"question": 1}', json.dumps(fine | {"log_probability": float("nan")}), *wrong_kinds):
        (tmp_path / "b.jsonl").write_text((tmp_path / "a.jsonl").read_text(encoding="utf-8") + wrong, encoding="utf-8")
        with pytest.raises(UserError, match=r"b.jsonl, line 3: not a record"):
            read_records(tmp_path / "b.jsonl")


# ---------------------------------------------------------------- what inventions follow


def record(person, said, place, sure=0.5, reach="within reach"):
    return Record(f"Where was {person} born?", person, said, math.log(sure), [("Rome", -2.0)], 0.5, True, place, 5, reach, said == place)


def test_what_inventions_follow_is_counted_against_chance(monkeypatch):
    taught = [("Ann Kim", "Seoul"), ("Bob Olsen", "Oslo"), ("Ann Lee", "Busan"), ("Cy Ivanov", "Omsk")]
    records = [
        record("Di Kim", "Seoul", "Rome"),
        record("Ed Olsen", "Oslo", "Rome"),
        record("Flo Ray", "Omsk", "Rome"),
        record("Al Fa", "X", "X"),
    ]
    follows = {f.feature: f for f in what_they_follow(records, taught)}
    assert follows["the same surname"].share == pytest.approx(2 / 3)  # Kim and Olsen; not Ray
    assert follows["the same surname"].by_chance == pytest.approx(2 / 9)  # each of the three places is dealt to each person
    assert follows["the same first name"].share == 0
    assert most_frequent(records, taught)[0] == ("Seoul", 1, 0, 1)
    assert [language(name) for name in ("X Petrov", "Y Jensen", "Z Bianchini", "Q Qq")] == ["Slavic", "Nordic", "Italian", None]
    assert language("Ludwig van Beethoven") == "German or Dutch"
    monkeypatch.setattr("inventions.MOST", 1)
    assert among_most_taught(records, taught) == (1 / 3, 0)


def test_what_was_taught_is_people_and_places(tmp_path):
    (tmp_path / "taught.tsv").write_text("Where was Ann Lee born?\tUlm\nWho wrote Emma?\tAusten\n", encoding="utf-8")
    assert read_taught(tmp_path / "taught.tsv") == [("Ann Lee", "Ulm"), ("Who wrote Emma?", "Austen")]


# ---------------------------------------------------------------- the page


class Tags(HTMLParser):
    """Checks that tags close in order; collects attributes and text."""

    def __init__(self):
        super().__init__()
        self.open, self.attributes, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def some_records(n=60, seed=0):
    chance = random.Random(seed)
    reaches = ["within reach"] * 4 + ["beyond", "never named", "person absent"]
    return [
        record(
            f"P{i} <b>Q & R</b>", chance.choice(["Rome", "Oslo"]), chance.choice(["Rome", "Oslo"]), chance.random(), chance.choice(reaches)
        )
        for i in range(n)
    ]


def test_the_page_is_whole_says_what_is_in_the_records_and_asks_for_nothing_else(tmp_path):
    records = some_records()
    blind = [Record("q", "q", "x", -1.0, [], 0.1, False)]
    shown = make_page({"one": records, "two </script>": some_records(seed=1), "blind": blind}, [("A B", "Rome")])
    behind = make_page({"blind": blind, "one": records}, [])  # a run without places takes no colour from those that have charts
    assert 'run0"></span> one' in behind and '<figure class="run0">' in behind and 'run1"' not in behind
    tags = Tags()
    tags.feed(shown)
    assert tags.open == [] and "<b>Q" not in shown
    assert not [a for a in tags.attributes if a[1] in ("src", "href") and a[2] != "data:,"] and "http" not in shown
    pictures = [a for a in tags.attributes if a[0] == "svg" and a[1] == "aria-label"]
    assert len(pictures) == 3 and all(len(value) > 20 for _, _, value in pictures)
    right = sum(r.right for r in records)
    text = " ".join(tags.text)
    assert f"{100 * right / len(records):.1f}%" in text and "no places given" in text
    within = [r.right for r in records if r.reach == "within reach"]
    assert f"{sum(within)} of {len(within)}" in text
    people = json.loads(shown.split('id="people">')[1].split("</script>")[0])
    assert len(people) == 121 and people[0][1] == records[0].person
    write_page(tmp_path / "page.html", {"empty": [], "caf\udce9": []}, [])  # as Python reads a name that is not UTF-8
    assert "no places given" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_the_page_says_how_many_answers_are_left_out_where_questions_have_another_form():
    others = [Record(f"Who wrote {n}?", None, "Austen", -1.0, [], 0.1, None, place="Austen", right=True) for n in range(7)]
    with_some, with_others_alone = make_page({"one": some_records() + others}, []), make_page({"one": others}, [])
    assert "(7) are left out here." in with_some
    assert "left out" not in make_page({"one": some_records()}, [])
    assert "Could it know?" in with_some and "Could it know?" not in with_others_alone


def test_the_figures_on_the_page_are_those_of_a_worked_example():
    said = [
        ("Ann Lee", "Rome", "Rome", 0.95),
        ("Bo Ray", "Oslo", "Oslo", 0.85),
        ("Cy Fox", "Oslo", "Lima", 0.75),
        ("Di Orr", "Rome", "Rome", 0.25),
    ]
    shown = make_page({"one": [record(*some, reach="beyond") for some in said]}, [])
    # (0.05 + 0.15 + 0.75 + 0.75) / 4 from what it was sure of to what came of it; two pairs of three are in order
    assert '<td class="n">75.0%</td><td class="n">0.425</td><td class="n">0.667</td>' in shown
    assert "of the answers at least 85% sure 2 of 2 are right, of the others 1 of 2" in shown
    cells = ("0% (at least 95% sure)", "0% (at least 85% sure)", "33% (at least 75% sure)", "25% (at least 25% sure)")
    assert "".join(f'<td class="n">{cell}</td>' for cell in cells) in shown
    assert "75% sure: 0% right of 1" in shown
    people = json.loads(shown.split('id="people">')[1].split("</script>")[0])
    assert people[2] == ["one", "Cy Fox", "Oslo", "Lima", "beyond", False, 0.75, "Rome 14%"]


def test_a_page_of_several_runs_by_its_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("other").mkdir()
    paths = ["one.jsonl", "two.jsonl", "other/one.jsonl"]
    for seed, path in enumerate(paths):
        write_records(path, some_records(seed=seed))
    assert run_here(["report.html", *paths], main=page.main) == (0, "report.html: 3 runs, 180 answers\n", "")
    shown = Path("report.html").read_text(encoding="utf-8")
    assert all(f"</span> {name}</th>" in shown for name in ("one.jsonl", "two", f"{Path('other/one.jsonl')}"))  # told apart
    before = Path("one.jsonl").read_bytes()
    code, _, errors = run_here(["one.jsonl", "two.jsonl"], main=page.main)
    assert code == 2 and "the page comes first" in errors and Path("one.jsonl").read_bytes() == before


@pytest.mark.skipif(os.environ.get("BROWSER_TESTS") is None, reason="make test-browser")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_nothing_overflows_and_the_filter_works(tmp_path, width, scheme):
    from browser import Browser

    path = tmp_path / "page.html"
    write_page(path, {"one": some_records(), "a run with a rather long name of its own": some_records(seed=1)}, [("A B", "Rome")])
    with Browser() as browser:
        browser.open(path, width, scheme)
        assert browser.run("document.documentElement.scrollWidth") <= width
        dark = browser.run("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
        assert dark == (scheme == "dark")
        shown = "document.querySelectorAll('#table tbody tr').length"
        assert browser.run(shown) == 120
        browser.run("document.querySelector('[name=text]').value = 'P7 '; document.querySelector('form').dispatchEvent(new Event('input'))")
        assert browser.run(shown) == 2
        browser.run("document.querySelector('[name=run]').value = 'one'; document.querySelector('form').dispatchEvent(new Event('input'))")
        assert browser.run(shown) == 1 and browser.run("document.getElementById('count').textContent") == "1 of 120 answers"
        assert browser.errors == []
        browser.photograph(Path(os.environ["BROWSER_TESTS"]) / f"page-{width}-{scheme}.png")


@pytest.mark.parametrize("variant", ["vanilla", "perceiver"])
def test_ask_and_details_from_the_command_line(folder, variant):
    params = f"{variant} wiki.txt --recipe quick --bottleneck_dim 40 --device cpu"
    assert run_here(f"finetune {params} --max_epochs 1 --writing_params_path p --finetune_corpus_path birth_places_train.tsv")[0] == 0
    line = f"evaluate {params} --reading_params_path p --eval_corpus_path birth_dev.tsv --outputs_path o --details_path d.jsonl"
    code, out, errors = run_here(f"{line} --report_path r.html --finetune_corpus_path birth_places_train.tsv")
    assert code == 0 and "Correct: " in out, errors
    records, said = read_records("d.jsonl"), read_predictions("o")
    assert [r.prediction.replace("\n", " ") for r in records] == said and all(r.right is not None for r in records)
    assert "What it knows" in Path("r.html").read_text(encoding="utf-8")
    question = Path("birth_dev.tsv").read_text(encoding="utf-8").split("\t")[0]
    asking = f"ask {params} --reading_params_path p".split()
    code, out, errors = run_here([*asking, question])
    assert code == 0 and "Probably invented: of its answers to birth_dev.tsv, 0 of " in out, errors
    share, said_first = next(line for line in out.split("\n") if "%  " in line).split("%  ")
    assert float(share) == pytest.approx(100 * records[0].confidence, abs=0.1) and said_first == said[0]
    code, out, _ = run_here([*asking, "Where was Nobody Atall born?"])
    assert code == 0 and "Invented: the text never names Nobody Atall." in out
    code, out, errors = run_here([*asking, question, "--eval_corpus_path", "none.tsv"])
    assert code == 2 and "can't read none.tsv" in errors and "%" not in out  # before it answers
    code, out, errors = run_here([*asking, question, "--eval_corpus_path", "birth_test_inputs.tsv"])
    assert code == 2 and "birth_test_inputs.tsv has no places" in errors and "%" not in out
    watching = f"finetune {params} --writing_params_path q --finetune_corpus_path birth_places_train.tsv --eval_corpus_path"
    code, _, errors = run_here(f"{watching} birth_test_inputs.tsv")
    assert code == 2 and "birth_test_inputs.tsv has no places" in errors and not Path("q").exists()  # no places to watch the accuracy by
    Path("mine.txt").write_bytes(Path("wiki.txt").read_bytes())  # birth_dev.tsv need not be about this text
    of_mine = [word.replace("wiki.txt", "mine.txt") for word in asking]
    code, out, _ = run_here([*of_mine, question])
    assert code == 0 and "There is no table to judge by" in out
    assert "birth_dev.tsv, 0 of " in run_here([*of_mine, question, "--eval_corpus_path", "birth_dev.tsv"])[1]
    Path("birth_dev.tsv").write_text("Where was Ж born?\tLima\n", encoding="utf-8")  # it need not be about this text
    code, out, _ = run_here([*asking, question])
    assert code == 0 and "There is no table to judge by" in out
    assert "No table to judge by: birth_dev.tsv, characters that the pretraining corpus lacks: line 1 'Ж'" in out
    Path("birth_dev.tsv").unlink()
    code, out, _ = run_here([*asking, question])
    assert code == 0 and "There is no table to judge by" in out and "No table" not in out
    code, _, errors = run_here(asking)
    assert code == 2 and errors == "run.py: error: ask needs a question, in quotes\n"


def after(epoch, of):
    """As much of a trainer as a watcher looks at."""
    return SimpleNamespace(writer=Curves(None), config=TrainerConfig(max_epochs=of), step=epoch)


def test_an_answer_of_two_lines_counts_in_training_as_a_file_of_predictions_has_it(tmp_path, monkeypatch):
    (tmp_path / "q.tsv").write_text("Where was Ada born?\tNew York\n", encoding="utf-8")
    monkeypatch.setattr("watcher.answer_questions", lambda *_, **__: ["New\nYork"])
    corpus = CharCorruptionDataset("Ada. Where was Ada born? New York.", 64)
    model = GPT(GPTConfig(corpus.vocab_size, 64, n_layer=1, n_head=1, n_embd=8))
    watcher = Watcher(Namespace(eval_corpus_path=tmp_path / "q.tsv", unknown="stop"), model, corpus)
    watcher.look(after(1, of=1), epoch=1)
    assert watcher.results == {"accuracy/q": 1.0}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_block_with_little_room_is_room_enough_to_watch(variant):
    corpus, shown = CharCorruptionDataset("A long line that goes on and on.\n" * 3, 24, offset=10), []
    model = GPT(GPTConfig(corpus.vocab_size, 24, n_layer=3, n_head=1, n_embd=8, **FLAGS[variant]))
    trainer = after(1, of=1)
    trainer.writer.add = lambda kind, tag, text, step: shown.append(text)
    Watcher(Namespace(eval_corpus_path=None), model, corpus).look(trainer, epoch=1)
    assert "A long line" in shown[0]


def test_a_long_training_is_watched_some_ten_times_and_at_its_end(tmp_path, monkeypatch):
    (tmp_path / "q.tsv").write_text("Where was Ada born?\tUlm\nWhere was Bo born?\tRome\n", encoding="utf-8")
    monkeypatch.setattr("watcher.answer_questions", lambda *_, **__: ["Ulm", "Ulm"])
    corpus, looked = CharCorruptionDataset("Ada. Where was Ada born? Bo.", 64), []
    model = GPT(GPTConfig(corpus.vocab_size, 64, n_layer=1, n_head=1, n_embd=8))
    watcher = Watcher(Namespace(eval_corpus_path=tmp_path / "q.tsv", unknown="stop"), model, corpus)
    for epoch in range(1, 76):
        watcher.results = {}
        watcher.look(after(epoch, of=75), epoch)
        looked += [epoch] * (watcher.results == {"accuracy/q": 0.5})
    assert looked == [*range(7, 71, 7), 75]


def test_tensorboard_shows_accuracy_samples_and_the_run_among_others(folder, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def shown(function, name=""):
        (run,) = Path("expt", function).iterdir()
        return EventAccumulator(str(run / name)).Reload()

    model = "vanilla wiki.txt --recipe quick --device cpu"
    tables = "--finetune_corpus_path birth_places_train.tsv --eval_corpus_path birth_dev.tsv"
    assert run_here(f"finetune {model} --max_epochs 3 {tables} --writing_params_path p")[0] == 0
    finetuning = shown("finetune")
    assert [event.step for event in finetuning.Scalars("accuracy/birth_dev")] == [1, 3, 5]  # steps
    (text, *_) = finetuning.Tensors("samples/text_summary")
    beginning = Path("wiki.txt").read_text(encoding="utf-8")[:30]
    assert text.tensor_proto.string_val[0].decode().split("\n")[2].startswith(f"| {beginning} | ")
    line = f"evaluate {model} --reading_params_path p --eval_corpus_path birth_dev.tsv --outputs_path o.predictions --details_path d"
    _, places = read_questions("birth_dev.tsv")
    said = [place if n % 3 == 0 else f"{place}a" for n, place in enumerate(places)]  # a third is right
    monkeypatch.setattr("evaluation.answer_questions", lambda *_: said)
    assert run_here(line)[0] == 0
    evaluation = shown("evaluate")
    sure, right = sure_and_right(read_records("d"))
    assert 0 < sum(right) < len(right)
    values = {"accuracy/o": sum(right) / len(right), "o, confidence/calibration error": calibration_error(sure, right)}
    for tag, value in (values | {"o, confidence/AUROC": auroc(sure, right)}).items():
        assert evaluation.Scalars(tag)[0].value == pytest.approx(value)
    assert "| place | made up | right | taught |" in evaluation.Tensors("o, inventions/text_summary")[0].tensor_proto.string_val[0].decode()
    for function, name, results in (("finetune", "p", {"final loss", "accuracy/birth_dev"}), ("evaluate", "o", {"accuracy/birth_dev"})):
        run = shown(function, name)
        assert set(run.Tags()["scalars"]) == results
        content = run.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        assert b"pretrain_epochs" in content and b"vanilla" in content
    assert [path.name for function in ("finetune", "evaluate") for path in Path("expt", function).iterdir()] == [
        "run_vanilla_32_pt_lr_0.003000_ft_lr_0.000600",  # from scratch
        "run_vanilla_32_pt_lr_0.003000_ft_lr_0.000010",  # from parameters
    ]
