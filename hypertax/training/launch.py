"""Training in several processes, one a GPU: from a notebook by `train(..., processes=n)`, from a
shell by accelerate or torchrun.

    accelerate launch --multi_gpu --num_processes 4 -m hypertax.training.launch -p dataset
    bioscan-1m -p preset paper -p seed 1 torchrun --nproc_per_node 2 -m hypertax.training.launch -p
    dataset simulated -p device cpu

The parameters are those of `hypertax.config.run_config.RunConfig`, and `output`, the runs folder.
The run is the one that the notebook of the same parameters then finds finished.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from hypertax.config.devices import require_device
from hypertax.config.parameters import parse_value, refuse_unknown
from hypertax.config.presets import DEFAULT_PRESET
from hypertax.config.run_config import PARAMETERS, RunConfig, in_space
from hypertax.data import load_specimens
from hypertax.data.views import require_something_to_learn, views_of
from hypertax.data.workers import end_with_parent
from hypertax.model.encoders import EncoderUnavailable
from hypertax.training.checkpoints import TrainingInterrupted
from hypertax.training.divergence import TrainingDiverged
from hypertax.training.processes import accelerator_of
from hypertax.training.runs import Run, runs_folder
from hypertax.training.trainer import train_here


def train(
    config: RunConfig,
    specimens: pd.DataFrame,
    *,
    output: str | Path | None = None,
    processes: int = 1,
) -> Run:
    """Train a run, or find it finished: in this process, or in `processes` new ones, each with a
    GPU of its own where there are GPUs. The other arguments are those of `train_here`.

    Raises:
        ValueError: the device is not there, there are fewer GPUs than that, `processes` is not a
            number of processes, or `output` no folder.
        RuntimeError: a process stopped; the last line says why.
    """
    if not isinstance(processes, int) or isinstance(processes, bool) or processes < 1:
        raise ValueError(f"processes must be a whole number of at least 1, not {processes!r}.")
    require_device(config.device)
    runs_folder(output)
    if processes == 1:
        return train_here(config, specimens, output=output)
    import torch
    from accelerate import debug_launcher, notebook_launcher
    from accelerate.state import is_initialized

    if is_initialized():
        raise ValueError(
            "Restart the kernel to train in several processes: this one has trained before, and"
            " they would all be its copies."
        )
    # Not `is_available`: it would start CUDA in this process, and the new ones could not.
    gpus = 0 if config.device == "cpu" else torch.cuda.device_count()
    if gpus and gpus < processes:
        raise ValueError(f"processes must be at most {gpus}, the number of GPUs, not {processes}.")
    arguments = (config, specimens, output, processes)
    try:
        if gpus:
            notebook_launcher(
                _one, args=arguments, num_processes=processes, use_port=str(_free_port())
            )
        else:
            debug_launcher(_one, args=arguments, num_processes=processes)
    except KeyboardInterrupt:
        raise TrainingInterrupted(
            "Interrupted; the same cell goes on from the last epoch that was saved."
        ) from None
    except Exception as error:
        raise RuntimeError(_last_words(error)) from error
    # Finished now: this only opens it.
    return train_here(config, specimens, output=output, progress=False)


def _one(
    config: RunConfig, specimens: pd.DataFrame, output: str | Path | None, processes: int
) -> None:
    end_with_parent()
    if (found := accelerator_of(config).num_processes) != processes:
        raise RuntimeError(
            f"The processes do not know of one another: {found} instead of {processes}."
        )
    train_here(config, specimens, output=output)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _last_words(error: Exception) -> str:
    """The last line of the traceback of the process that stopped first, without the error's
    type."""
    failures = getattr(error, "failures", None)
    text = str(next(iter(failures.values())).message) if failures else str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [type(error).__name__]
    return re.sub(r"^[\w.]+(?:Error|Exception|Diverged|Unavailable|Images): ", "", lines[-1])


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m hypertax.training.launch",
        description="Train one run in the processes that were launched.",
    )
    parser.add_argument(
        "-p", nargs=2, action="append", default=[], dest="parameters", metavar=("NAME", "VALUE")
    )
    given: dict[str, Any] = {
        name: parse_value(value) for name, value in parser.parse_args(arguments).parameters
    }
    try:
        refuse_unknown(given, [*PARAMETERS, "output"], "a run")
        output, preset = given.pop("output", None), given.pop("preset", DEFAULT_PRESET)
        if given.get("space") == "euclidean":
            given = {**in_space("euclidean"), **given}
        config = RunConfig.create(preset, **given)
        require_device(config.device)
        runs_folder(output)
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:
            end_with_parent()
        specimens = load_specimens(config.dataset, seed=config.data_seed)
        require_something_to_learn(config, views_of(specimens))
        run = train_here(config, specimens, output=output)
    except (ValueError, TrainingDiverged, EncoderUnavailable) as error:
        print(error, file=sys.stderr)
        return 1
    except TrainingInterrupted as error:
        print(error, file=sys.stderr)
        return 130
    if int(os.environ.get("RANK", 0)) == 0:
        print(f"{run.name} is finished.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
