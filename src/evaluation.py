"""Asking a model questions: a whole file, with the answers scored and written, or a single one; and how sure the answers are."""

import math
from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

import processes
from calibration import Threshold, auroc, calibration_error, fit_threshold, reliability, risk_coverage
from console import UserError
from curves import Curves, markdown_table, open_curves
from dataset import CharCorruptionDataset
from files import write_text
from inventions import FOLLOWED, INVENTED, Taught, most_frequent, read_taught, what_they_follow
from mentions import REACHES
from model import GPT
from page import write_page
from questions import answer_questions, check_questions, read_graded, read_table
from recall import Record, make_records, score_predictions, sure_and_right, write_records
from recipes import Recipe
from tables import Table, are_right, in_one_line

# ---------------------------------------------------------------- a file of questions


def prepare_evaluation(args: Namespace, recipe: Recipe, model: GPT, corpus: CharCorruptionDataset) -> Callable[[], None]:
    """Read the questions. Returns the function that answers them."""
    table = read_table(args.eval_corpus_path, model, corpus, args.unknown)
    return partial(evaluate, args, recipe, model, corpus, table, read_taught(args.finetune_corpus_path))


def evaluate(args: Namespace, recipe: Recipe, model: GPT, corpus: CharCorruptionDataset, table: Table, taught: Taught) -> None:
    """Answer the questions, write the answers and whatever else is asked for, and score them if there are places.

    `taught` holds the people and places of the finetuning table, if it is given.
    """
    predictions = answer_questions(model, corpus, table.questions)
    if processes.rank() == 0:
        write_text(args.outputs_path, "".join(f"{in_one_line(said)}\n" for said in predictions))
        records = write_details(args, model, corpus, table, predictions, taught)
        report_accuracy(args, recipe, table, predictions, records, taught)


def write_details(
    args: Namespace, model: GPT, corpus: CharCorruptionDataset, table: Table, predictions: Sequence[str], taught: Taught
) -> list[Record]:
    """Write how sure the model is of each answer, and the page that shows it, if they are asked for. Returns the records of both."""
    if not args.details_path and not args.report_path:
        return []
    records = make_records(model, corpus, table.questions, table.places, predictions)
    if args.details_path:
        write_records(args.details_path, records)
    if args.report_path:
        write_page(args.report_path, {Path(args.outputs_path).stem: records}, taught)
    return records


def report_accuracy(
    args: Namespace, recipe: Recipe, table: Table, predictions: Sequence[str], records: Sequence[Record], taught: Taught
) -> None:
    """Print the score, or that there are no places to score by, and show it in TensorBoard with what the records tell."""
    if table.places is None:
        print("No gold birth places provided; returning (0,0)")
        print(f"Predictions written to {args.outputs_path}; no targets provided")
        return
    total, correct = float(len(predictions)), float(sum(are_right(predictions, table.places)))
    print(f"Correct: {correct} out of {total}: {100 * correct / total}%")
    name = Path(args.outputs_path).stem
    with open_curves(args, recipe) as writer:
        writer.add_scalar(f"accuracy/{name}", correct / total, 0)
        if records:
            show_recall(writer, name, records, taught)
        writer.add_run(name, args, recipe, {f"accuracy/{Path(args.eval_corpus_path).stem}": correct / total})


def show_recall(writer: Curves, name: str, records: Sequence[Record], taught: Taught) -> None:
    """Show in TensorBoard what the page shows; if the x axis is a confidence or a coverage, steps are percentages."""
    sure, right = sure_and_right(records)
    for reach in REACHES:
        if some := [record.right for record in records if record.reach == reach]:
            writer.add_scalar(f"{name}, where the text names the place/{reach}", sum(some) / len(some), 0)
    writer.add_scalar(f"{name}, confidence/calibration error", calibration_error(sure, right), 0)
    if (area := auroc(sure, right)) is not None:
        writer.add_scalar(f"{name}, confidence/AUROC", area, 0)
    for some in reliability(sure, right):
        writer.add_scalar(f"{name}, confidence/accuracy by confidence", some.accuracy, round(100 * some.confidence))
    for point in risk_coverage(sure, right):
        writer.add_scalar(f"{name}, confidence/risk by coverage", point.risk, round(100 * point.coverage))
    writer.add("pr_curve", f"{name}, confidence/right by threshold", torch.tensor(right), torch.tensor(sure), 0)
    writer.add("text", f"{name}, inventions", markdown_table(INVENTED, most_frequent(records, taught)), 0)
    if taught:
        follows = [follow.cells for follow in what_they_follow(records, taught)]
        writer.add("text", f"{name}, what inventions follow", markdown_table(FOLLOWED, follows), 0)


# ---------------------------------------------------------------- a single question


def prepare_asking(args: Namespace, recipe: Recipe, model: GPT, corpus: CharCorruptionDataset) -> Callable[[], None]:
    """Check the question, and the table whose answers show what certainty is worth. Returns the function that asks it."""
    (question,) = check_questions([args.question], model, corpus, args.unknown)
    if not question.strip():
        raise UserError("nothing is left of the question")
    text, path, table = Path(args.pretrain_corpus_path), args.eval_corpus_path, None
    if path is not None:
        table = read_graded(path, model, corpus, args.unknown)
    elif text.name == "wiki.txt":
        path = text.with_name("birth_dev.tsv")
        try:
            table = read_graded(path, model, corpus, args.unknown)
        except UserError as error:
            if path.exists():  # it belongs to another text, say
                print(f"No table to judge by: {error}")
    return partial(ask, model, corpus, question, path, table)


def ask(model: GPT, corpus: CharCorruptionDataset, question: str, path: str | Path | None, table: Table | None) -> None:
    """Print what the model says, how sure it is, and whether its answers to the table at `path` are right when it is that sure."""
    (record,) = make_records(model, corpus, [question], None, answer_questions(model, corpus, [question], silent=True))
    for said, score in [(record.prediction, record.log_probability), *record.runners_up]:
        print(f"{math.exp(score):7.1%}  {in_one_line(said)}")
    if record.person is None:
        print('Whether the text names the person was not checked: that takes a question of the form "Where was [name] born?"')
    if record.person_in_text is False:  # then it does not matter how sure the model is
        print(f"Invented: the text never names {record.person}.")
    else:
        print(verdict(record.confidence, path, None if table is None else measure_certainty(model, corpus, table)))


def measure_certainty(model: GPT, corpus: CharCorruptionDataset, table: Table) -> Threshold | None:
    """The certainty above which most answers to the table's questions are right."""
    predictions = answer_questions(model, corpus, table.questions)
    sure = [math.exp(score) for score, *_ in score_predictions(model, corpus, table.questions, predictions, n_others=0)]
    return fit_threshold(sure, are_right(predictions, table.places))


def verdict(confidence: float, path: str | Path | None, threshold: Threshold | None) -> str:
    """Whether an answer was probably recalled or invented, judged by those to the questions at `path` on its side of `threshold`."""
    if threshold is None:
        return "Recalled or invented? There is no table to judge by: give one with places, with --eval_corpus_path."
    if confidence >= threshold.confidence:
        right = f"{threshold.given_right} of {threshold.given}"
        return f"Probably recalled: of the answers to {path} at least {threshold.confidence:.0%} sure, {right} are right."
    right = f"{threshold.withheld_right} of {threshold.withheld}"
    if not threshold.withheld:
        given = f"{threshold.given_right} of {threshold.given}"
        return f"Recalled or invented? It was surer of all its answers to {path}, of which {given} are right."
    if not threshold.given:
        return f"Probably invented: of its answers to {path}, {right} are right, and at no confidence are most of them right."
    return f"Probably invented: of the answers to {path} less than {threshold.confidence:.0%} sure, {right} are right."
