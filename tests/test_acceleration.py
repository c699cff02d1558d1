"""However gradients are computed, they are those of the model on the padded batch."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from acceleration import GROUP, Gradients, RecordedGradients, Recorder, ThreadedGradients, make_gradients
from batches import CutBatches, Shapes, unpack
from dataset import CharCorruptionDataset, mix
from helpers import CORPUS, NAMES, padded, split_batches
from model import GPT, Block, GPTConfig, variant_flags
from packing import BF16Copy, PackedCopy, make_copy
from recipes import VARIANTS
from trainer import Trainer, TrainerConfig

FLAGS = {variant: variant_flags(variant, 40) for variant in VARIANTS}


@pytest.mark.parametrize("bf16", [False, True])
def test_on_a_cpu_a_batch_is_made_at_once_in_small_parts_with_little_padding(bf16, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": bf16}, raising=False)
    corpus = CharCorruptionDataset("\n".join(["x" * 200] * 128), 128)  # 4 to 112 characters of each are kept
    mixed = mix(corpus, "\n".join(["xxxx\txx"] * 16))
    model = GPT(GPTConfig(corpus.vocab_size, 128, n_layer=1, n_head=1, n_embd=8))
    batches = Trainer(model, mixed, None, TrainerConfig(batch_size=128, device="cpu", cpu_bf16=True)).batches(mixed, 1)
    parts = batches[0].parts
    targets = sum(int((part.y != 0).sum()) for part in parts)
    assert isinstance(batches, CutBatches)
    assert 384 <= targets / len(parts) < 640  # docs/speed.md: 512 on average
    assert targets / sum(part.y.numel() for part in parts) > 0.8
    assert not bf16 or all(part.x.size(1) % 8 == 0 or part.x.size(1) == 127 for part in parts)


def test_each_core_takes_a_part_at_the_same_time_as_others(monkeypatch):
    n_threads, both, seen = torch.get_num_threads(), threading.Barrier(2, timeout=60), []
    torch.set_num_threads(2)
    try:
        way = make_gradients(GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=1, n_head=2, n_embd=16)))

        def of_part(*work):
            both.wait()  # until the other one has begun, too
            seen.append(torch.get_num_threads())
            return ThreadedGradients.of_part(way, *work)

        monkeypatch.setattr(way, "of_part", of_part)
        way.compute(split_batches("at once", Shapes(200, 1))[0].parts[:2])
    finally:
        torch.set_num_threads(n_threads)
    assert seen == [1, 1]


@pytest.mark.parametrize("kind", ["at once", "one by one"])
@pytest.mark.parametrize("variant", FLAGS)
@pytest.mark.parametrize("part_targets", [200, 20])
def test_the_parts_gradients_add_up_to_that_of_the_padded_batch(kind, variant, part_targets):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=16, **FLAGS[variant])).double().eval()
    batch = split_batches(kind, Shapes(part_targets, 1))[0]
    assert len({part.x.size(1) for part in batch.parts}) > 3
    assert len(batch.parts) > GROUP or part_targets == 200

    model.zero_grad()
    x, y, *_ = padded(kind, 0)
    assert x.shape == y.shape == (32, 99)
    expected_loss = model(x, y)[1]
    expected_loss.backward()
    expected = [parameter.grad.clone() for parameter in model.parameters()]

    n_threads = torch.get_num_threads()
    ways = [Gradients(model), ThreadedGradients(model)]
    if not torch.cuda.is_available():
        ways.append(RecordedGradients(model))  # which gives up on recording
    for gradients in ways:
        loss = gradients.compute(batch.parts)
        torch.testing.assert_close(loss, expected_loss.detach())
        for parameter, gradient in zip(model.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient)
    with ThreadPoolExecutor(1) as elsewhere:
        assert torch.get_num_threads() == elsewhere.submit(torch.get_num_threads).result() == n_threads


def gradients_of(way, parts):
    """The gradients that `way` gives the parameters."""
    way.compute(parts)
    return [parameter.grad.clone() for parameter in way.parameters]


def assert_near(found, expected, tolerance):
    """Each gradient is off by a small fraction of its norm; some, such as that of the keys' bias, are zero up to rounding."""
    rounding = 0.01 * tolerance * torch.stack([gradient.norm() for gradient in expected]).norm()
    for a, b in zip(found, expected, strict=True):
        assert (a - b).norm() <= tolerance * b.norm() + rounding


@pytest.mark.parametrize("variant", FLAGS)
def test_in_bfloat16_the_gradients_are_nearly_the_same(variant):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **FLAGS[variant])).eval()
    parts = split_batches("at once", Shapes(200, 1))[0].parts
    exact, rough = gradients_of(Gradients(model), parts), gradients_of(ThreadedGradients(model, bf16=True), parts)
    assert {gradient.dtype for gradient in rough} == {torch.float32}
    assert_near(rough, exact, 0.05)
    with pytest.raises(AssertionError):
        assert_near(rough, exact, 1e-4)  # so it was not computed in float32


@pytest.mark.parametrize("variant", FLAGS)
def test_in_bfloat16_the_gradients_are_those_of_the_model_as_it_has_become(variant):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **FLAGS[variant]))  # with dropout
    model.head.weight = model.tok_emb.weight
    model.ln_f.requires_grad_(False)
    parts = split_batches("at once", Shapes(200, 1))[0].parts
    threaded = ThreadedGradients(model, bf16=True)
    for _ in range(2):
        gradients_of(threaded, parts)
        with torch.no_grad():
            torch._foreach_mul_(list(model.parameters()), 1.5)
    model.eval()
    exact, rough = gradients_of(Gradients(model), parts), gradients_of(threaded, parts)
    assert_near(rough, exact, 0.05)
    assert model.ln_f.weight.grad is None and {parameter.dtype for parameter in model.parameters()} == {torch.float32}


COPIES = [*((variant, False) for variant in FLAGS), *((variant, True) for variant in FLAGS if variant != "perceiver")]


def attend_one_by_one(q, k, v, begins, longest, dropout, scale):
    """What `attend_apart` says it does, sequence by sequence."""
    assert begins.diff().max() <= longest and not dropout
    spans = [slice(*ends) for ends in begins.unfold(0, 2, 1).tolist()]
    heads = [[x[span].transpose(0, 1) for x in (q, k, v)] for span in spans]  # (H, T, D) each
    return torch.cat([F.scaled_dot_product_attention(*qkv, is_causal=True, scale=scale).transpose(0, 1) for qkv in heads])


@pytest.mark.parametrize(("variant", "packed"), COPIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_copy_gives_the_gradients_of_the_model(variant, packed, dtype, monkeypatch):
    monkeypatch.setattr("packing.attend_apart", attend_one_by_one)
    if dtype == torch.float32:
        monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor)
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **FLAGS[variant])).eval()
    for name, parameter in model.named_parameters():  # otherwise, some would be zero
        nn.init.normal_(parameter, std=0.1, mean=1.0 if name.endswith("ln_f.weight") else 0.0)
    model.head.weight.requires_grad = False  # a frozen parameter has no gradient
    copy = make_copy(model)
    assert type(copy) is (BF16Copy if variant == "perceiver" else PackedCopy)
    with torch.no_grad():  # the copy must follow frozen parameters too
        for parameter in model.parameters():
            parameter.mul_(1.1)
    # a part with few targets and, in bfloat16, two threads: on a CPU, long sums lose precision
    part = split_batches("at once", Shapes(300, 64, packed=packed))[0].parts[-1]
    plain = Gradients(model)
    exact_loss = plain.compute([unpack(part)])
    exact = [parameter.grad.clone() for parameter in plain.parameters]
    found = [torch.full_like(parameter, torch.nan) for parameter in plain.parameters]
    n_threads = torch.get_num_threads()
    if dtype == torch.bfloat16:
        torch.set_num_threads(2)
    try:
        for _ in range(2):  # the second call starts afresh
            loss = copy.compute(part, found)
    finally:
        torch.set_num_threads(n_threads)
    torch.testing.assert_close(loss, exact_loss, rtol=1e-5 if dtype == torch.float32 else 0.02, atol=0)
    assert_near(found, exact, 1e-4 if dtype == torch.float32 else 0.1)


@pytest.mark.parametrize("variant", FLAGS)
def test_a_copy_drops_where_the_model_drops(variant, monkeypatch):
    """With dropout that draws nothing, and multiplies by a number that tells its place."""

    def attend(q, k, v, begins, longest, dropout, scale):
        return attend_one_by_one(q, k, v, begins, longest, 0.0, scale) * (1 + dropout)

    monkeypatch.setattr("packing.attend_apart", attend)
    monkeypatch.setattr(torch.Tensor, "bfloat16", lambda tensor: tensor)
    monkeypatch.setattr("dropout.Dropout.forward", lambda self, x: x * (1 + self.p) if self.training else x)
    torch.manual_seed(0)
    places = {"embd_pdrop": 0.2, "attn_pdrop": 0.3, "resid_pdrop": 0.5}
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **places, **FLAGS[variant])).train()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    part = split_batches("at once", Shapes(300, 64, packed=variant != "perceiver"))[0].parts[-1]
    plain, copy = Gradients(model), make_copy(model)
    exact_loss = plain.compute([unpack(part)])
    found = [torch.full_like(parameter, torch.nan) for parameter in plain.parameters]
    torch.testing.assert_close(copy.compute(part, found), exact_loss, rtol=1e-5, atol=0)
    assert_near(found, [parameter.grad for parameter in plain.parameters], 1e-4)
    model.eval()
    assert not torch.isclose(plain.compute([unpack(part)]), exact_loss, rtol=1e-3)


def test_only_what_computes_as_this_projects_models_do_is_copied():
    class Other(GPT):
        def forward(self, idx, targets=None):
            logits, loss = super().forward(idx, targets)
            return logits, loss and 2 * loss

    config = GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=16)
    hooked, patched = GPT(config), GPT(config)
    hooked.tok_emb.register_forward_hook(lambda layer, given, output: 2 * output)
    patched.blocks[0].attn.value = nn.Identity()
    shared, unbiased, larger, dropping = (GPT(config) for _ in range(4))
    shared.blocks[1].attn.query = shared.blocks[0].attn.query
    unbiased.blocks[0].attn.query = nn.Linear(16, 16, bias=False)
    larger.tok_emb = nn.Embedding(CORPUS.vocab_size + 1, 16)
    dropping.drop = nn.Dropout(0.1)  # which draws from a generator that threads share
    changed = (Other(config), hooked, patched, shared, unbiased, larger, dropping)
    assert [make_copy(model) for model in (*changed, GPT(config).double())] == [None] * 8
    assert [type(make_gradients(model)) for model in (*changed, GPT(config))] == [Gradients] * 7 + [ThreadedGradients]
    tied, twins, small_heads = GPT(config), GPT(config), GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=4, n_embd=16))
    tied.head.weight = tied.tok_emb.weight
    twins.blocks[0].attn.key.weight = twins.blocks[0].attn.query.weight
    wide = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=1, n_head=1, n_embd=256, synthesizer=True))  # heads of 264, including the ones
    many = GPT(GPTConfig(50_000, 100, n_layer=1, n_head=2, n_embd=16))
    assert [type(make_copy(model)) for model in (GPT(config), tied, twins, small_heads, wide, many)] == [PackedCopy, *[BF16Copy] * 5]


def test_what_modules_keep_between_calls_is_not_mixed_up():
    """As the terms that a block adds to the loss: each of a step's parts has its own."""

    class Costly(Block):
        def forward(self, x):
            x = super().forward(x)
            time.sleep(0.02)  # long enough for another thread to pass
            self.cost = x.square().mean()
            time.sleep(0.02)
            return x

    class Sparse(GPT):
        def forward(self, idx, targets=None):
            logits, loss = super().forward(idx, targets)
            return logits, None if targets is None else loss + sum(block.cost for block in self.blocks)

    torch.manual_seed(0)
    model = Sparse(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=16, embd_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0))
    model.blocks = nn.Sequential(*(Costly(model.config) for _ in range(2)))
    parts = split_batches("at once", Shapes(200, 1))[0].parts
    plain = Gradients(model)
    expected = plain.compute(parts), [parameter.grad.clone() for parameter in plain.parameters]
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        way = make_gradients(model)
    finally:
        torch.set_num_threads(n_threads)
    torch.testing.assert_close((way.compute(parts), [parameter.grad for parameter in way.parameters]), expected)


def test_sequences_too_long_for_the_model_are_refused_when_laid_end_to_end_too():
    """On a GPU, reading beyond the embeddings would end all further work in the process."""
    texts = CharCorruptionDataset("\n".join(["ab" * 20] * 16), 100)
    short, long = (GPT(GPTConfig(texts.vocab_size, n, n_layer=1, n_head=2, n_embd=16)) for n in (20, 60))
    for model in (short, long):
        longest = make_gradients(model).shapes.longest
        shapes = PackedCopy.shapes._replace(multiple=2048, longest=longest)  # which fills up all rows
        batches = CutBatches([texts], 16, 1, 0, shapes, torch.device("cpu"))
        if model is short:
            with pytest.raises(ValueError, match=r"an example of \d+ characters is longer than the 20 that the model takes"):
                batches[0]
        else:
            (part,) = batches[0].parts
            assert part.at.max() == 59  # where they had 98 before they were cut


@pytest.mark.parametrize("capabilities", [{"avx512_bf16": True}, {"avx512_bf16": False}, {}, None])
def test_a_recipe_gets_bfloat16_on_a_cpu_that_has_it(capabilities, monkeypatch):
    if capabilities is None:  # as in older versions of PyTorch
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=1, n_head=2, n_embd=16))
    assert make_gradients(model, cpu_bf16=True).bf16 == bool(capabilities and capabilities["avx512_bf16"])
    assert not make_gradients(model).bf16 and not make_gradients(model, plain=True, cpu_bf16=True).bf16


def test_every_part_drops_something_else_and_a_seed_repeats_all(monkeypatch):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=16, embd_pdrop=0.5))
    threaded, part = ThreadedGradients(model), split_batches("at once", Shapes(200, 1))[0].parts[3]
    losses = []
    monkeypatch.setattr(threaded, "of_part", lambda *work: losses.append(found := ThreadedGradients.of_part(threaded, *work)) or found)

    def compute(seed):
        torch.manual_seed(seed)
        losses.clear()
        threaded.compute([part] * 12)  # the same part twelve times: only the dropout can differ
        return sorted(loss.item() for loss, _ in losses)

    expected = compute(5)
    assert len(set(expected)) == 12
    assert all(compute(5) == expected for _ in range(5)) and compute(6) != expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine where recording fails")
@pytest.mark.parametrize("variant", FLAGS)
def test_without_recording_training_goes_on_with_one_warning(variant, capsys):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **FLAGS[variant])).eval()
    recorded = RecordedGradients(model, bf16=True)
    batches = split_batches("at once", recorded.shapes)
    for step in (0, 1):
        parts = batches[step].parts
        assert_near(gradients_of(recorded, parts), gradients_of(Gradients(model), [unpack(part) for part in parts]), 0.05)
    assert capsys.readouterr().err.count("warning: training continues without CUDA graphs") == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize(("variant", "packed"), COPIES)
def test_on_a_gpu_recorded_gradients_are_those_of_the_kernels_one_by_one(variant, packed):
    torch.manual_seed(0)
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **FLAGS[variant])).cuda().eval()
    for recorded, tolerance in ((RecordedGradients(model), 1e-4), (make_gradients(model), 0.05)):
        # without a copy, use several parts, whose gradients add up
        shapes = recorded.shapes._replace(packed=packed) if recorded.copy is not None else Shapes(300, 16)
        batches = CutBatches([CORPUS, NAMES], 32, 3, 0, shapes, torch.device("cuda"))
        for step, flipped in ((0, False), (0, True), (3, False), (0, False)):  # the first call records, later ones replay
            parts = [part._replace(x=part.x.flip(0)) if flipped else part for part in batches[step].parts]  # other text of the same shape
            assert {part.x.device.type for part in parts} == {"cuda"}
            plain = gradients_of(Gradients(model), [unpack(part) for part in parts])
            assert_near(gradients_of(recorded, parts), plain, tolerance)
            assert recorded.recorder.works and recorded.recordings


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("what", ["embd_pdrop", "attn_pdrop", "resid_pdrop"])
@pytest.mark.parametrize("bf16", [False, True])
def test_on_a_gpu_a_recording_drops_anew_at_each_replay_and_a_seed_repeats_it(what, bf16):
    torch.manual_seed(0)
    dropout = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0} | {what: 0.5}
    model = GPT(GPTConfig(CORPUS.vocab_size, 100, n_layer=2, n_head=2, n_embd=64, **dropout)).cuda().train()
    recorded = RecordedGradients(model, bf16)
    shapes = recorded.shapes if bf16 else Shapes(300, 16)
    parts = CutBatches([CORPUS, NAMES], 32, 3, 0, shapes, torch.device("cuda"))[0].parts
    torch.manual_seed(5)
    losses = [recorded.compute(parts).item() for _ in range(3)]
    assert len(set(losses)) == 3
    torch.manual_seed(5)
    assert [recorded.compute(parts).item() for _ in range(3)] == losses


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_a_failed_recording_leaves_the_random_numbers_as_they_were():
    recorder, state = Recorder(torch.device("cuda:0")), torch.cuda.get_rng_state()

    def compute():
        torch.rand(1, device="cuda").item()  # which waits for the device: that can't be recorded

    assert recorder.record(compute, warm_ups=0) is None and not recorder.works
    assert torch.equal(torch.cuda.get_rng_state(), state)
    torch.rand(1, device="cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_on_a_gpu_without_a_kernel_for_it_nothing_is_packed(monkeypatch):
    monkeypatch.setattr(torch.backends.cuda, "is_flash_attention_available", lambda: False)
    assert type(make_copy(GPT(GPTConfig(9, 24)).cuda())) is BF16Copy
