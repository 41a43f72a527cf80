"""Training: the loop, large batches over several processes, and run folders.

`train` returns a finished run, reused or resumed where there is one.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "launch": ["train"],
        "checkpoints": ["TrainingInterrupted"],
        "divergence": ["TrainingDiverged"],
        "trainer": ["train_here", "unaligned"],
        "runs": ["Run", "runs_folder"],
        "objective": ["Objective"],
        "large_batch": ["LargeBatch"],
    },
)
