"""What a training run looks at now and then: how many questions the model gets right, and how it continues some texts."""

from argparse import Namespace
from itertools import islice
from pathlib import Path

import processes
from corpus import PAD
from curves import markdown_table
from dataset import CharCorruptionDataset, decode
from decoding import ANSWER_LENGTH, answer
from model import GPT
from questions import answer_questions, read_graded
from tables import Table, are_right
from trainer import Trainer

N_SAMPLES, BEGINNING = 4, 30  # texts to continue: how many, and after how many characters


class Watcher:
    """Looks at a model about ten times during training: how many questions it gets right, and how it continues some texts."""

    def __init__(self, args: Namespace, model: GPT, corpus: CharCorruptionDataset) -> None:
        """Reads the questions at --eval_corpus_path, if it is given."""
        self.model, self.corpus = model, corpus
        self.results: dict[str, float] = {}  # of the latest look
        self.table: Table | None = None
        if args.eval_corpus_path is not None:
            self.table = read_graded(args.eval_corpus_path, model, corpus, args.unknown)
            self.name = f"accuracy/{Path(args.eval_corpus_path).stem}"
        longest = min(BEGINNING, model.get_block_size() - corpus.offset - 1)  # at least a character must fit after it
        self.beginnings = [document[:longest] for document in islice(filter(None, corpus.data), N_SAMPLES)]

    def look(self, trainer: Trainer, epoch: int) -> None:
        """Log what it sees after `epoch` epochs."""
        n_epochs, step = trainer.config.max_epochs, trainer.step - 1
        if epoch % max(1, n_epochs // 10) and epoch != n_epochs:
            return
        if self.table is not None:
            predictions = answer_questions(self.model, self.corpus, self.table.questions, silent=True)
            self.results = {self.name: sum(are_right(predictions, self.table.places)) / len(predictions)}
            trainer.writer.add_scalar(self.name, self.results[self.name], step)
        if processes.rank() == 0 and self.beginnings:
            prompts = [self.corpus.encode_at_offset(beginning).tolist() for beginning in self.beginnings]
            going_on = answer(self.model, prompts, ANSWER_LENGTH, end=PAD)
            written = [decode(indices, self.corpus.itos) for indices in going_on]
            samples = markdown_table(["the text begins", "the model goes on"], zip(self.beginnings, written, strict=True))
            trainer.writer.add("text", "samples", samples, step)
