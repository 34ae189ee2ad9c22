"""A launcher whose extra is not installed says which it is, before anything is run."""

import pytest
from omegaconf import OmegaConf

from hydra_plugins.winnow_launchers.cartesian import CartesianSweeper
from winnow.core.errors import OptionError


@pytest.mark.parametrize(
    ("launcher", "extra"), [("ray", "ray"), ("submitit_slurm", "slurm"), ("submitit_slurm_node", "slurm")]
)
def test_the_extra_of_a_launcher(launcher: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise RuntimeError(f"Unknown plugin class : '{launcher}'")  # as Hydra does where it has no such plugin

    # Hydra's own sweeper cannot be made once Hydra has imported its plugins anew, as it does at the start of an app.
    monkeypatch.setattr(CartesianSweeper.__bases__[0], "setup", unknown)
    sweeper = CartesianSweeper.__new__(CartesianSweeper)
    config = OmegaConf.create({"hydra": {"sweep": {"dir": "x"}, "runtime": {"choices": {"hydra/launcher": launcher}}}})
    with pytest.raises(OptionError, match=rf'launcher={launcher} is not installed; pip install "winnow\[{extra}\]"'):
        sweeper.setup(hydra_context=None, task_function=None, config=config)  # type: ignore[arg-type]
