"""The study: the rows of experiments.yaml, their runs, and the pipeline that makes every table and
figure.

Only here are training and the presentation of results brought together.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "rows": [
            "Row",
            "Sweep",
            "applicable",
            "load_rows",
            "load_sweep",
            "of_one_view",
            "row_looks",
        ],
        "runs": ["StudyRun", "result_folders", "run_costs", "run_names", "run_records"],
        "baselines": [
            "BaselineRun",
            "baseline_costs",
            "load_baselines",
            "run_baselines",
        ],
        "collect": ["Study", "collect_runs", "finished_runs", "load_study"],
        "endpoints": ["endpoint_differences", "endpoints_in_words"],
        "fidelity": ["StudyFidelity", "fidelity_lines", "same_width", "study_fidelity"],
        "harder": ["HarderReads", "ask_harder"],
        "selection": ["Shown", "select_runs"],
        "recipes": ["placed_runs", "recipe_paragraphs", "strongest", "validation_means"],
    },
)
