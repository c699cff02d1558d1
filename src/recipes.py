"""The choices: the model's variants, and recipes, which decide everything about a run except its data and its seed."""

from argparse import Namespace
from dataclasses import dataclass, replace

VARIANTS = ("vanilla", "perceiver", "synthesizer", "rope")  # all but the first are fields of a GPTConfig


@dataclass(frozen=True)
class Recipe:
    """The defaults are the handouts' numbers."""

    # the model
    block_size: int = 128
    n_layer: int = 4
    n_head: int = 8
    n_embd: int = 256
    dropout: float = 0.1
    # pretraining
    mixes_questions: bool = False  # designed for pretraining with the training questions mixed in
    length_draws: int = 1  # a document is cut at the largest of this many random lengths
    salient_share: float = 0.0  # share of cuts that leave only a document's title and one proper name; below a half
    offset: int = 0  # documents begin this many positions later, in models that learn positions
    pretrain_epochs: int = 650
    pretrain_batch_size: int = 128
    pretrain_lr: float = 6e-3
    # finetuning
    finetune_epochs: int = 75
    finetune_epochs_pretrained: int = 10  # from a checkpoint
    finetune_batch_size: int = 256
    finetune_lr: float = 6e-4
    finetune_lr_pretrained: float = 6e-4
    # the optimizer, for both
    muon_lr: float | None = None  # of the blocks' matrices in pretraining; None leaves them to AdamW
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.1
    grad_norm_clip: float = 1.0
    # the precision, for both
    cpu_bf16: bool = False  # bfloat16 products on a CPU that has instructions for them; capable CUDA GPUs use them by default
    # the schedule, for both
    warmup_tokens: int = 512 * 20  # less than a step of the handout's batches: in effect, no warm-up there
    decay_epochs: int | None = 200  # the cosine ends after the tokens of this many pretraining epochs; None: when the run does
    lr_floor: float = 0.1  # the lowest rate, as a share of the peak

    def finetuning(self, pretrained: bool) -> tuple[int, float]:
        """Epochs and peak rate of finetuning, from a checkpoint or from scratch."""
        if pretrained:
            return self.finetune_epochs_pretrained, self.finetune_lr_pretrained
        return self.finetune_epochs, self.finetune_lr


# within an hour on two CPU cores with bfloat16; what each line contributes is in docs/knowledge.md
LAPTOP = Recipe(
    dropout=0.0,  # the facts must be learnt by heart
    mixes_questions=True,  # how to look facts up is learnt along with the facts
    length_draws=8,  # a place that is cut off can't be learnt
    salient_share=0.4,  # with only the name to go by, a fact is stored under that name
    offset=len("Where was "),  # so that names stand where questions have them
    pretrain_epochs=75,  # 26 to 45 minutes of the hour, depending on variant and CPU
    pretrain_batch_size=64,
    pretrain_lr=3e-3,
    finetune_epochs_pretrained=1,  # the questions were seen in pretraining: more would overwrite what it taught
    finetune_batch_size=64,
    finetune_lr_pretrained=1e-5,  # at 1e-4, fewer answers are right afterwards than before
    muon_lr=0.02,  # learns the text in a fraction of the steps
    cpu_bf16=True,  # one and a half times as many examples in the hour
    decay_epochs=None,  # facts are learnt while the rate falls
    lr_floor=0.0,
)

# the same for twice as long, two fifths of the handout's examples: the perceiver gains two points from it, the others next to nothing
BEST = replace(LAPTOP, pretrain_epochs=150)

# the same for the demo: a few hundred people, done in minutes
QUICK = replace(
    LAPTOP,
    block_size=96,  # half of the people's places end within 53 characters, 90% within 80
    n_head=4,
    n_embd=128,
    length_draws=4,
    pretrain_epochs=75,  # at 50, the perceiver has hardly begun to answer from what it has read
    pretrain_batch_size=16,
    finetune_batch_size=32,
    cpu_bf16=False,  # its matrices are too small to gain from it
)

RECIPES = {"handout": Recipe(), "best": BEST, "laptop": LAPTOP, "quick": QUICK}


def choose_recipe(args: Namespace) -> Recipe:
    """The chosen recipe, overridden by the flags that were given."""
    flags = {"pretrain_lr": args.pretrain_lr, "dropout": args.dropout}
    flags |= dict.fromkeys(("finetune_lr", "finetune_lr_pretrained"), args.finetune_lr)
    if args.function == "pretrain":
        flags |= {"pretrain_epochs": args.max_epochs, "pretrain_batch_size": args.batch_size}
    else:
        flags |= dict.fromkeys(("finetune_epochs", "finetune_epochs_pretrained"), args.max_epochs)
        flags |= {"finetune_batch_size": args.batch_size}
    return replace(RECIPES[args.recipe], **{name: value for name, value in flags.items() if value is not None})
