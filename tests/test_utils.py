"""Seeds, sampling and scoring."""

import pytest
import torch

import utils
from console import UserError
from helpers import sharp_model
from recipes import VARIANTS
from utils import derive_seed, evaluate_places, top_k_logits


def test_derived_seeds_are_stable_and_apart():
    assert derive_seed(0, "batch", 7) == derive_seed(0, "batch", 7) == 4672060736585328437
    seeds = [derive_seed(seed, purpose, step) for seed in range(5) for purpose in ("batch", "dropout") for step in range(200)]
    assert len(set(seeds)) == len(seeds)


def test_top_k_keeps_the_k_largest():
    logits = torch.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]])
    assert top_k_logits(logits, 2).tolist() == [[-torch.inf, 3.0, 2.0], [5.0, -torch.inf, 6.0]]
    assert torch.equal(top_k_logits(logits, 50), logits)  # there are no more


@pytest.mark.parametrize("variant", VARIANTS)
def test_sample_takes_the_likeliest_and_slides_its_window(variant):
    model = sharp_model(variant)
    x = torch.tensor([[2, 3, 4]])
    continued = utils.sample(model.train(), x, steps=30)  # dropout is off all the same
    assert continued.shape == (1, 33) and torch.equal(continued[:, :3], x)
    for end in range(3, 33):
        window = continued[:, max(0, end - model.get_block_size()) : end]
        assert continued[0, end] == model.eval()(window)[0][0, -1].argmax()
    assert torch.equal(utils.sample(model, x, steps=30, temperature=0.0, sample=True), continued)


def test_sampling_follows_the_model_s_distribution():
    model = sharp_model("vanilla")
    torch.manual_seed(0)
    x = torch.tensor([[2, 3, 4]]).expand(4000, 3)
    drawn = utils.sample(model, x, steps=1, temperature=2.0, sample=True, top_k=3)[:, -1]
    values, indices = (model(x[:1])[0][0, -1] / 2.0).topk(3)
    frequencies = torch.bincount(drawn, minlength=9) / 4000
    torch.testing.assert_close(frequencies[indices], values.softmax(0), atol=0.03, rtol=0)
    assert frequencies.sum() == frequencies[indices].sum()


def test_places_are_scored_by_exact_match(tmp_path):
    path = tmp_path / "dev.tsv"
    path.write_text("Where was A born?\tLima\nWhere was B born?\tÅrhus\nWhere was C born?\tSaint Paul\n", encoding="utf-8")
    assert evaluate_places(path, ["Lima", "Århus", "Saint"]) == (3.0, 2.0)
    assert evaluate_places(path, ["lima", "Arhus", "Saint Paul "]) == (3.0, 0.0)
    with pytest.raises(UserError, match="3 lines, but there are 2 predictions"):
        evaluate_places(path, ["Lima", "Århus"])


def test_without_gold_places_nothing_is_scored(tmp_path):
    path = tmp_path / "test.tsv"
    path.write_text("Where was A born?\nWhere was B born?\n", encoding="utf-8")
    assert evaluate_places(path, ["Lima", "Lima"]) == (0, 0)
    path.write_text("Where was A born?\tLima\nWhere was B born?\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 2: no tab"):
        evaluate_places(path, ["Lima", "Lima"])
