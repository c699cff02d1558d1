"""The schedule, the groups, the order of the data, and what a run leaves behind."""

import copy
import dataclasses
import math

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, Subset

from acceleration import pick_device
from batches import Shapes
from console import UserError
from dataset import CharCorruptionDataset, NameDataset
from helpers import OneByOne
from model import GPT, GPTConfig, variant_flags
from muon import BatchedMuon, orthogonalized
from packing import PackedCopy
from recipes import VARIANTS
from trainer import LOG_EVERY, Trainer, TrainerConfig, learning_rate, make_optimizers
from utils import set_seed

HANDOUT = TrainerConfig(learning_rate=6e-3, lr_decay=True, warmup_tokens=512 * 20, final_tokens=200 * 2938 * 128)
LINES = [f"Person {i} was born in town {i * i % 17}, and lives there." for i in range(20)]
CORPUS = CharCorruptionDataset("\n".join(LINES), 48)
FLAGS = {variant: variant_flags(variant, 8) for variant in VARIANTS}


class Points(dict):
    """The curves that a run writes: for each tag, the values by step."""

    def add_scalar(self, tag, value, step):
        points = self.setdefault(tag, {})
        assert step not in points
        points[step] = value

    def flush(self):
        pass


def small_model(variant="vanilla", **changes):
    set_seed(0)
    kwargs = {"n_layer": 2, "n_head": 2, "n_embd": 16} | FLAGS[variant] | changes
    return GPT(GPTConfig(CORPUS.vocab_size, CORPUS.block_size, **kwargs))


def trained(seed=0, writer=None, wrap=lambda dataset: dataset, **changes):
    """The parameters after a short run, as a dict, and its trainer."""
    settings = {"max_epochs": 3, "batch_size": 8, "learning_rate": 1e-3, "seed": seed, "writer": writer, "device": "cpu"} | changes
    trainer = Trainer(small_model(), wrap(CORPUS), None, TrainerConfig(**settings))
    trainer.train()
    return trainer.model.state_dict(), trainer


def test_every_process_and_step_drops_something_else(monkeypatch):
    seeds = []
    monkeypatch.setattr(Trainer, "train_step", lambda *_: seeds.append(torch.initial_seed()) or (torch.zeros(()), torch.zeros(())))
    for rank in (0, 1):
        monkeypatch.setattr("processes.rank", lambda rank=rank: rank)
        trained(max_epochs=1)
    assert len(set(seeds)) == 6


# ---------------------------------------------------------------- the schedule


@pytest.mark.parametrize(
    ("epoch", "share"),
    # worked out by hand: an epoch is 2938 * 127 tokens, p = (tokens - 10240) / (75212800 - 10240), then
    # max(0.1, (1 + cos(pi p)) / 2); after 400 epochs the rate is back at its peak
    [(0, 1.0), (1, 0.999943), (100, 0.506244), (200, 0.1), (400, 0.999408), (650, 0.119684)],
)
def test_the_handouts_schedule_is_not_clamped_at_its_end(epoch, share):
    assert learning_rate(epoch * 2938 * 127, HANDOUT) == pytest.approx(6e-3 * share, rel=2e-3)


def test_the_rate_rises_linearly_over_the_first_tokens_after_a_first_step_at_the_peak():
    assert learning_rate(0, HANDOUT) == 6e-3
    assert learning_rate(2560, HANDOUT) == pytest.approx(1.5e-3)
    assert learning_rate(10_239, HANDOUT) == pytest.approx(6e-3, rel=1e-3)
    assert learning_rate(16_256, HANDOUT) == pytest.approx(6e-3, rel=1e-3)


def test_the_rate_falls_to_zero_where_it_may():
    config = dataclasses.replace(HANDOUT, lr_floor=0.0)
    way = config.final_tokens - config.warmup_tokens
    rates = [learning_rate(round(config.warmup_tokens + share * way), config) for share in (0, 0.25, 0.5, 0.75, 1.0)]
    assert rates == pytest.approx([6e-3, 5.12132e-3, 3e-3, 0.87868e-3, 0.0], abs=1e-8)  # 3e-3 (1 + cos(pi share))


def test_without_decay_the_rate_stays():
    assert learning_rate(10**9, TrainerConfig(learning_rate=1e-3)) == 1e-3


def test_the_trainer_follows_the_schedule_by_tokens_with_padding():
    logged = Points()
    config = {"lr_decay": True, "warmup_tokens": 1000, "final_tokens": 4000}
    _, trainer = trained(writer=logged, **config)
    # batches of 8, 8 and 4 examples of 47 positions each, the rate set by the tokens before it
    tokens = [0, 376, 752, 940, 1316, 1692, 1880, 2256, 2632]
    expected = [1e-3]
    expected += [1e-3 * t / 1000 if t < 1000 else 1e-3 * max(0.1, 0.5 * (1 + math.cos(math.pi * (t - 1000) / 3000))) for t in tokens[1:]]
    assert logged["train/lr"] == pytest.approx(dict(enumerate(expected)))
    assert trainer.tokens == 3 * 20 * 47


def test_the_norm_that_is_logged_is_the_gradients_before_it_is_clipped():
    logged = Points()
    no_dropout = {"embd_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}
    model, twin = small_model(**no_dropout), small_model(**no_dropout)
    config = TrainerConfig(max_epochs=4, batch_size=8, learning_rate=1e-3, grad_norm_clip=1e-3, device="cpu", writer=logged)
    trainer = Trainer(model, CORPUS, None, config)
    batch = trainer.batches(CORPUS, 1)[0]
    sum(twin(part.x, part.y)[1] * part.share for part in batch.parts).backward()
    norm = torch.cat([parameter.grad.flatten() for parameter in twin.parameters()]).norm().item()
    trainer.train()
    assert logged["train/grad_norm"][0] == pytest.approx(norm, rel=1e-4) and norm > 1e-2
    assert set(logged["train/grad_norm"]) == set(range(12)) and all(speed > 0 for speed in logged["train/examples_per_s"].values())


def test_after_each_epoch_somebody_is_told():
    told = []
    Trainer(small_model(), CORPUS, None, TrainerConfig(max_epochs=3, batch_size=8, device="cpu")).train(after_epoch=told.append)
    assert told == [1, 2, 3]


def test_each_step_drops_something_else():
    logged = Points()
    one_question = NameDataset(CORPUS, "Person 3\ttown 9")
    config = TrainerConfig(max_epochs=3, learning_rate=1e-12, device="cpu", writer=logged)  # nothing is learnt
    Trainer(small_model(embd_pdrop=0.5), one_question, None, config).train()
    assert len({round(loss, 5) for loss in logged["train/loss"].values()}) == 3


# ---------------------------------------------------------------- the optimizer


@pytest.mark.parametrize("variant", FLAGS)
@pytest.mark.parametrize("muon_lr", [None, 0.02])
def test_the_optimizers_partition_the_parameters(variant, muon_lr):
    model = small_model(variant)
    optimizers = make_optimizers(model, TrainerConfig(muon_lr=muon_lr, weight_decay=0.1))
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    ids = [id(p) for group in groups for p in group["params"]]
    assert len(ids) == len(set(ids)) and set(ids) == {id(p) for p in model.parameters()}

    names = {id(p): name for name, p in model.named_parameters()}
    by_decay = {decay: {names[id(p)] for g in groups if g["weight_decay"] == decay for p in g["params"]} for decay in (0.0, 0.1)}
    assert by_decay[0.0] == {name for name in names.values() if name.endswith("bias")}
    assert by_decay[0.1] == set(names.values()) - by_decay[0.0]
    if muon_lr:
        (group,) = optimizers[1].param_groups
        matrices = {id(p) for name, p in model.named_parameters() if p.dim() == 2 and name not in ("tok_emb.weight", "head.weight")}
        assert {id(p) for p in group["params"]} == matrices and group["lr"] == 0.02


def test_each_optimizer_steps_at_its_share_of_its_own_peak():
    trainer = Trainer(small_model(), CORPUS, None, TrainerConfig(learning_rate=1e-2, muon_lr=0.02, device="cpu"))
    trainer.train_step(trainer.batches(CORPUS, 1)[0], rate=2.5e-3)
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in trainer.optimizers]
    assert rates == [[2.5e-3, 2.5e-3], [5e-3]]


def test_muon_on_many_matrices_at_once_is_that_on_one_by_one(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)  # torch's is always in bfloat16
    shapes = [(16, 16), (32, 16), (16, 16), (16, 64), (32, 16)]
    torch.manual_seed(0)
    ours, theirs = (
        [nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(i))) for i, shape in enumerate(shapes)] for _ in "ab"
    )
    optimizers = BatchedMuon(ours, lr=0.02, weight_decay=0.3), torch.optim.Muon(theirs, lr=0.02, weight_decay=0.3)
    for step in range(4):
        for a, b in zip(ours, theirs, strict=True):
            a.grad = torch.randn_like(a)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
        if step == 1:  # a rate that is a tensor, as it is on a GPU
            optimizers[0].param_groups[0]["lr"], optimizers[1].param_groups[0]["lr"] = torch.tensor(0.01), 0.01
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=5e-5)  # here and there, bfloat16 rounds the other way


@pytest.mark.parametrize("shape", [(24, 24), (16, 40), (40, 16)])
def test_where_bfloat16_is_slow_muon_computes_in_float32(shape, monkeypatch):
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    for capabilities, dtype in (({}, torch.float32), ({"avx512_bf16": True}, torch.bfloat16)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda has=capabilities: has, raising=False)
        assert BatchedMuon([nn.Parameter(matrices[0])]).dtype == dtype
    a, b, c = coefficients = 3.4445, -4.775, 2.0315  # Jordan et al. 2024: each singular value x becomes a x + b x^3 + c x^5
    for ours, matrix in zip(orthogonalized(matrices, coefficients, steps=5, eps=1e-7), matrices.double(), strict=True):
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
        values /= values.norm()
        for _ in range(5):
            values = a * values + b * values**3 + c * values**5
        torch.testing.assert_close(ours.double(), left @ values.diag() @ right, rtol=0, atol=1e-4)


def test_a_step_is_adamw_on_the_clipped_gradient():
    model, twin = (small_model(embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0) for _ in range(2))
    trainer = Trainer(model, CORPUS, None, TrainerConfig(learning_rate=1e-2, grad_norm_clip=0.3, device="cpu"))
    batch = trainer.batches(CORPUS, epochs=1)[0]
    ((x, y, *_),) = batch.parts
    for _ in range(2):
        trainer.train_step(batch, rate=1e-2)

    means = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in twin.named_parameters()}
    for step in (1, 2):  # Loshchilov & Hutter 2019, algorithm 2
        twin.zero_grad()
        twin(x, y)[1].backward()
        norm = math.sqrt(sum(p.grad.square().sum().item() for p in twin.parameters()))
        assert norm > 0.3
        with torch.no_grad():
            for name, p in twin.named_parameters():
                gradient = p.grad * 0.3 / norm
                first, second = means[name]
                first.mul_(0.9).add_(0.1 * gradient)
                second.mul_(0.95).add_(0.05 * gradient**2)
                update = (first / (1 - 0.9**step)) / ((second / (1 - 0.95**step)).sqrt() + 1e-8)
                p -= 1e-2 * (update + (0 if name.endswith("bias") else 0.1 * p))
    for (name, p), q in zip(model.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=2e-5, rtol=2e-3, msg=name)


def test_other_models_and_datasets_are_trained_whole():
    class Samples(Dataset):
        def __len__(self):
            return 64

        def __getitem__(self, index):
            return torch.tensor([index / 64, 1.0]), torch.tensor(3 * index / 64 - 1)

    class Line(torch.nn.Linear):
        def forward(self, x, y):
            prediction = super().forward(x)[:, 0]
            return prediction, (prediction - y).square().mean()

    config = TrainerConfig(max_epochs=60, batch_size=16, learning_rate=0.1, weight_decay=0.0)
    trainer = Trainer(Line(2, 1), Samples(), None, config)
    trainer.train()
    assert trainer.loss < 1e-3


def test_frozen_blocks_leave_muon_nothing_to_do():
    model = small_model()
    model.blocks.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    Trainer(model, CORPUS, None, TrainerConfig(max_epochs=1, muon_lr=0.02, device="cpu")).train()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"tok_emb.weight", "pos_emb", "ln_f.weight", "ln_f.bias", "head.weight"}


@pytest.mark.parametrize("empty", [0, 1])
def test_an_empty_dataset_is_named(empty):
    sets = [CORPUS, CORPUS]
    sets[empty] = Subset(CORPUS, [])
    with pytest.raises(UserError, match=f"the {('training', 'test')[empty]} dataset is empty"):
        Trainer(small_model(), *sets, TrainerConfig(device="cpu"))


# ---------------------------------------------------------------- whole runs


def test_the_time_is_that_of_training_without_what_is_done_after_epochs_and_goes_on_after_a_stop(monkeypatch):
    """Steps of a second each, by a clock that nothing else moves but a look of a hundred seconds after each epoch."""
    now = [50.0]
    monkeypatch.setattr("trainer.time.monotonic", lambda: now[0])

    class Timed(Trainer):
        def train_step(self, batch, rate):
            now[0] += 1
            return super().train_step(batch, rate)

    def look(epoch):
        now[0] += 100

    config = TrainerConfig(max_epochs=2, batch_size=8, device="cpu")
    first = Timed(small_model(), CORPUS, None, config)
    first.train(after_epoch=look)
    assert first.seconds == first.step == 2 * math.ceil(len(CORPUS) / 8)
    state, steps = first.state(), first.step
    more = Timed(small_model(), CORPUS, None, dataclasses.replace(config, max_epochs=3))
    more.restore(state)
    now[0] += 1000
    more.train(after_epoch=look)
    assert more.seconds == more.step == 1.5 * steps


@pytest.mark.parametrize("wrap", [lambda dataset: dataset, OneByOne])
def test_one_seed_gives_one_result_whatever_the_workers(wrap):
    expected, _ = trained(seed=1, wrap=wrap)
    for workers in (0, 2):
        again, _ = trained(seed=1, wrap=wrap, num_workers=workers)
        assert all(torch.equal(expected[name], again[name]) for name in expected)
    other, _ = trained(seed=2, wrap=wrap)
    assert not all(torch.equal(expected[name], other[name]) for name in expected)


def test_dropout_too_is_drawn_from_the_seed_alone():
    one_question = NameDataset(CORPUS, "Person 3\ttown 9")  # nothing else is left to chance

    def run(seed, elsewhere):
        model = small_model(embd_pdrop=0.5)
        torch.manual_seed(elsewhere)
        Trainer(model, one_question, None, TrainerConfig(max_epochs=3, seed=seed)).train()
        return model.head.weight

    assert torch.equal(run(seed=1, elsewhere=0), run(seed=1, elsewhere=5))
    assert not torch.equal(run(seed=1, elsewhere=0), run(seed=2, elsewhere=0))


def test_training_lowers_the_loss_and_logs_every_step():
    logged = Points()
    _, trainer = trained(writer=logged, max_epochs=8, learning_rate=3e-3)
    losses = list(logged["train/loss"].values())
    assert list(logged["train/loss"]) == list(range(24))
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    assert trainer.loss == pytest.approx(sum(losses[-10:]) / 10)


def test_the_best_parameters_on_the_test_set_are_kept(tmp_path):
    asked = NameDataset(CORPUS, "\n".join(f"Person {i}\ttown {i}" for i in range(8)))
    path = tmp_path / "best.params"
    trainer = Trainer(small_model(), CORPUS, asked, TrainerConfig(max_epochs=2, batch_size=8, ckpt_path=path, device="cpu"))
    trainer.train()
    best = small_model().eval()
    best.load_state_dict(torch.load(path, weights_only=True))
    x, y = map(torch.stack, zip(*asked, strict=True))
    assert trainer.best_test_loss == pytest.approx(best(x, y)[1].item(), rel=1e-5)
    before = path.read_bytes()
    trainer.best_test_loss = 0.0
    trainer.finish_epoch(3)
    assert path.read_bytes() == before


def test_without_a_test_set_the_latest_parameters_are_kept(tmp_path):
    model, _ = trained(ckpt_path=tmp_path / "latest.params")
    kept = torch.load(tmp_path / "latest.params", weights_only=True)
    assert all(torch.equal(kept[name], model[name]) for name in model)


def test_parameters_that_are_no_longer_numbers_do_not_replace_good_ones(tmp_path):
    path = tmp_path / "latest.params"
    trainer = Trainer(small_model(), CORPUS, None, TrainerConfig(max_epochs=4, batch_size=8, ckpt_path=path, device="cpu"))
    kept = []

    def spoil(epoch):
        kept.append(path.read_bytes())
        if epoch == 2:
            with torch.no_grad():
                trainer.model.ln_f.weight[0] = math.nan

    assert 3 * math.ceil(len(CORPUS) / 8) % LOG_EVERY  # the third epoch ends before the loss would be read
    with pytest.raises(UserError, match=r"the loss is nan in step|a parameter is no longer finite"):
        trainer.train(after_epoch=spoil)
    assert path.read_bytes() == kept[1] != kept[0]


def test_a_trainer_that_goes_back_forgets_what_came_after():
    config = TrainerConfig(max_epochs=2, batch_size=8, device="cpu")
    whole = Points()
    Trainer(small_model(), CORPUS, None, dataclasses.replace(config, writer=whole)).train()
    points, kept = Points(), []
    trainer = Trainer(small_model(), CORPUS, None, dataclasses.replace(config, writer=points))

    def stop():
        if trainer.step == 3:
            kept.append(copy.deepcopy(trainer.state()))
        if trainer.step == 5:
            raise KeyboardInterrupt  # with two losses that nobody has read

    with pytest.raises(KeyboardInterrupt):
        trainer.train(stop)
    trainer.restore(kept[0])
    assert trainer.loss == pytest.approx(sum(kept[0]["recent_losses"]) / 3)
    trainer.train()
    assert points["train/loss"] == whole["train/loss"]


def test_the_test_loss_is_the_mean_over_batches_whatever_their_parts():
    asked = NameDataset(CORPUS, "\n".join(f"Person {i}\ttown {i * i % 17}" for i in range(20)))
    trainer = Trainer(small_model(), CORPUS, asked, TrainerConfig(batch_size=8, device="cpu"))
    trainer.gradients.shapes = Shapes(20, 1)
    batches, model, losses = trainer.batches(asked, 1), small_model().eval(), []
    assert len(batches) == 3 and len(batches[0].parts) > 1
    for step in range(3):
        x, y = map(torch.stack, zip(*(asked[i] for i in batches.chosen(step).tolist()), strict=True))
        losses.append(model(x, y)[1].item())
    assert trainer.test() == pytest.approx(sum(losses) / 3, rel=1e-5)


@pytest.mark.parametrize("wrap", [lambda dataset: dataset, OneByOne])
def test_packed_batches_have_the_test_loss_of_others(wrap):
    trainer = Trainer(small_model(), CORPUS, wrap(CORPUS), TrainerConfig(batch_size=8, device="cpu"))
    expected = trainer.test()
    trainer.gradients.shapes = PackedCopy.shapes
    assert trainer.test() == pytest.approx(expected, rel=1e-5)


def test_devices():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "cuda:99"):
        with pytest.raises(UserError, match=f"device '{name}' can't be used"):
            pick_device(name)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize(("muon_lr", "tolerance"), [(None, 1e-3), (0.01, 0.1)])  # Muon amplifies differences in the last bit
def test_on_a_gpu_recorded_steps_are_those_of_the_kernels_one_by_one(muon_lr, tolerance, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)  # otherwise, two kinds of rounding would be compared
    settings = {"max_epochs": 4, "batch_size": 8, "learning_rate": 3e-3, "lr_decay": True, "warmup_tokens": 500, "final_tokens": 4000}
    models = []
    for plain in (False, True):
        model = small_model(embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0)
        trainer = Trainer(model, CORPUS, None, TrainerConfig(**settings, muon_lr=muon_lr, device="cuda", plain=plain))
        trainer.train()
        assert plain or (trainer.update.recording and trainer.gradients.recordings)
        models.append(model)
    start = small_model(embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0)
    for a, b, before in zip(*(model.parameters() for model in models), start.cuda().parameters(), strict=True):
        assert (a - b).norm() <= tolerance * (b - before).norm() + 1e-3  # the keys' bias moves by rounding alone
