"""From a recipe to weights: each kind of data and network, and every refusal before anything is written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from alanet.errors import OptionError
from alanet.model.alanet import ALANet, ALANetConfig
from alanet.model.alanet_plus import ALANetPlus
from alanet.model.weights import load_model, save_weights
from alanet.training.__main__ import main
from alanet.training.checkpoint import latest
from alanet.training.prepare import prepare
from alanet.training.recipe import make_recipe, merged, read_values
from alanet.training.runlog import summarize
from tests.support.networks import TINY
from tests.support.noise import make_bank, make_stills

PLUS = {"network": "ALANetPlus", "model": asdict(TINY)}
STEPS = {"steps": 3, "stages": [{"start": 0, "crop": 32, "batch": 2}], "precision": "fp32", "log_steps": 1}
SMALL = {"model": {"width": 0.02, "residual": True}, "train": STEPS}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    return make_bank(tmp_path_factory.mktemp("scenes"), max_displacement=4.0).folder


def run(values: dict[str, object], *others: dict[str, object]):
    for other in others:
        values = merged(values, other)
    return prepare(make_recipe(values), "cpu")


def test_the_module_trains_what_a_file_says(scenes, tmp_path, capsys) -> None:
    (tmp_path / "recipe.toml").write_text(f'dataset = "{scenes}"\n[train]\nsteps = 1\n')
    settings = ["model.width=0.02", "precision=fp32", 'stages=[{"start": 0, "crop": 32, "batch": 2}]', "steps=50"]
    assert main(str(tmp_path / "recipe.toml"), str(tmp_path / "run"), *settings) == 0
    assert capsys.readouterr().out.startswith("100.0 %   step 50   loss")
    assert load_model(tmp_path / "run/last.safetensors").config == ALANetConfig(width=0.02)
    assert main(str(tmp_path / "none.toml"), str(tmp_path / "run")) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_photographs_are_rendered_during_training_from_given_weights(tmp_path) -> None:
    torch.manual_seed(1)
    model = ALANet(ALANetConfig(width=0.02, attention="self"))
    save_weights(model, tmp_path / "init.safetensors", half=False)
    values = {"photographs": str(make_stills(tmp_path / "stills")), "init": str(tmp_path / "init.safetensors")}
    run(values, {"train": {**STEPS, "lr": 1e-30, "weight_decay": 0}}).start(tmp_path)
    trained = latest(tmp_path)
    assert trained.about["model"]["config"]["attention"] == "self"  # the weights bring their network
    start = model.state_dict()
    assert all(torch.allclose(value, start[key]) for key, value in trained.part("model").items())


def test_the_larger_network_trains_and_its_config_is_a_recipe(scenes, tmp_path) -> None:
    run({"dataset": str(scenes), "train": STEPS}, PLUS).start(tmp_path)
    assert load_model(tmp_path / "last.safetensors").config == TINY
    assert run(read_values(tmp_path / "config.json")).start(tmp_path).step == 3


@pytest.mark.parametrize(
    ("only", "learns"),
    [
        ("flow", ("flow.",)),
        ("exposure_head", ("exposure.",)),
        ("generator", ("encoder.", "decoder.")),
        ("generator_and_flow", ("encoder.", "decoder.", "flow.blocks.2.", "flow.blocks.3.")),
    ],
)
def test_one_part_is_trained_alone(scenes, tmp_path, only, learns) -> None:
    """Of the weights it starts from nothing else changes."""
    weights = tmp_path / "init.safetensors"
    save_weights(ALANetPlus(TINY), weights)
    values = {"dataset": str(scenes), "train_only": only, "train": {**STEPS, "lr": 0.01}}
    run(values, {"init": str(weights)}).start(tmp_path / "run")
    before, after = (load_model(path).state_dict() for path in (weights, tmp_path / "run" / "last.safetensors"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith(learns) for name in changed)
    assert all(any(name.startswith(part) for name in changed) for part in learns)
    assert ('"objective"' in (tmp_path / "run" / "metrics.jsonl").read_text()) == (not only.startswith("generator"))
    with pytest.raises(OptionError, match=f"train_only {only} needs a network .* give init"):
        run(values, PLUS)


def test_a_run_of_two_datasets_has_batches_of_both(tmp_path) -> None:
    """Each is one's or the other's: scenes that stand still, and scenes that move."""
    still, moving = tmp_path / "still", tmp_path / "moving"
    still.mkdir()
    moving.mkdir()
    make_bank(still, max_displacement=4.0, still=1.0)
    make_bank(moving, max_displacement=4.0, still=0.0)
    values = {"dataset": str(still / "bank"), "second_dataset": str(moving / "bank"), "train": STEPS}
    sampler = run(values, PLUS).data.sampler
    moved = [bool(sampler.batch(k, size=1, crop=32).flow.any()) for k in range(30)]
    assert 8 <= sum(moved) <= 22
    run(values, {"model": {"width": 0.02}}).start(tmp_path / "run")
    assert summarize(tmp_path / "run").data == "bank, bank"


def test_weights_to_start_from_bring_their_network(scenes, tmp_path) -> None:
    weights = tmp_path / "init.safetensors"
    save_weights(ALANetPlus(TINY), weights)
    values = {"dataset": str(scenes), "init": str(weights), "train": STEPS}
    assert run(values, {"model": {"channels": [8, 8, 8, 8]}}).model.config == TINY
    with pytest.raises(OptionError, match=r"has channels \(8, 8, 8, 8\), not \(8, 8, 8, 16\); leave channels out"):
        run(values, {"model": {"channels": [8, 8, 8, 16]}})
    with pytest.raises(OptionError, match="is of network ALANetPlus, not ALANet; leave network out"):
        run(values, {"network": "ALANet"})


def test_scenes_are_held_out_where_the_recipe_names_nothing_to_validate_on(tmp_path, caplog) -> None:
    from alanet.data.synthetic.bank import render_bank
    from alanet.data.synthetic.scenes import SceneOptions

    stills = make_stills(tmp_path / "stills")
    bank = render_bank(stills, tmp_path / "bank", 20, SceneOptions(height=32, width=32))
    ready = run({"dataset": str(bank.folder)}, SMALL)
    assert len(ready.data.held_out) == 2
    shown = {scene for step in range(40) for scene in [ready.data.sampler._scene(step, step)]}
    assert shown == set(range(18)), "the last two of 20 are never trained on"
    assert not caplog.records
    assert "gain" in ready.start(tmp_path / "run").scores
    few = render_bank(stills, tmp_path / "few", 2, SceneOptions(height=32, width=32))
    assert run({"dataset": str(few.folder)}, SMALL).hooks.validate is None
    assert "no validation: " in caplog.text
    assert "give held_out" in caplog.text


def test_photographs_are_held_out_by_name(tmp_path) -> None:
    stills = make_stills(tmp_path / "stills")
    import shutil

    from alanet.data.synthetic.render import is_held_out

    name = next(f"{k}.png" for k in range(200) if is_held_out(f"{k}.png"))
    shutil.copy(next(stills.iterdir()), stills / name)
    values = {"photographs": str(stills), "held_out_clips": 2}
    ready = run(values, SMALL)
    assert [tuple(batch.clip.shape) for batch in ready.data.held_out] == [(1, 5, 3, 32, 32)] * 2
    assert all((batch.exposure == 11).all() for batch in ready.data.held_out)


@pytest.mark.parametrize("stages", [[(0.0, 64)], [(0.0, 32), (0.5, 4096)], [(0.0, 30)]])
def test_crops_of_every_stage_are_checked_before_anything_is_written(scenes, tmp_path, stages) -> None:
    crops = [{"start": start, "crop": crop, "batch": 1} for start, crop in stages]
    with pytest.raises(OptionError, match=rf"stage {len(stages)} has crops of {stages[-1][1]} pixels, .* up to 32"):
        run({"dataset": str(scenes)}, {"train": {**STEPS, "stages": crops}}).start(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": "paper"}, "the perceptual loss has weight 0.2 but no VGG16 weights"),
        ({"network": "ALANetPlsu"}, r"network 'ALANetPlsu' \(did you mean 'ALANetPlus'\?\); allowed: ALANet, "),
        ({"train_only": "motion"}, "train_only is 'motion'; allowed: all, exposure_head, generator"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused(scenes, values, message) -> None:
    with pytest.raises(OptionError, match=message):
        run({"dataset": str(scenes), "train": STEPS}, values)


def test_whole_frames_are_not_rendered_during_training(tmp_path) -> None:
    values = {"photographs": str(make_stills(tmp_path / "stills"))}
    with pytest.raises(OptionError, match=r"whole frames \(crop 0\) need a dataset"):
        run(values, {"train": {**STEPS, "stages": [{"start": 0, "crop": 0, "batch": 2}]}})


def test_a_network_trains_by_its_own_objective(scenes, tmp_path, monkeypatch) -> None:
    """What `objective` returns is what is minimised: here how far one weight is from 3, and nothing of the pictures."""
    asked = []

    def objective(model: ALANet, batch: object, progress: float) -> torch.Tensor:
        asked.append(progress)
        return (next(iter(model.parameters())) - 3.0).square().mean()

    monkeypatch.setattr(ALANet, "objective", objective)
    ready = run({"dataset": str(scenes)}, SMALL, {"train": {"steps": 4, "lr": 0.1, "warmup": 0.0}})
    first, *others = (weight.detach().clone() for weight in ready.model.parameters())
    ready.start(tmp_path)
    assert asked == [0.0, 0.25, 0.5, 0.75]
    moved, *rest = ready.model.parameters()
    assert (moved - 3.0).abs().mean() < (first - 3.0).abs().mean() - 0.1
    assert all((a - b).abs().max() < 1e-4 for a, b in zip(others, rest, strict=True)), "only the decay moved these"
