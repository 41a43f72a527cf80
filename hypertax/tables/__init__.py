"""Tables: tidy numbers as CSV, and the same laid out as Markdown, LaTeX and HTML.

They take frames of numbers and do not know the trainer.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "table": ["Table", "frame_table", "write_table"],
        "plain": ["markdown_text", "spreadsheet_safe", "write_csv"],
        "accuracy": ["main_table", "novel_table", "ranking_table", "split_table", "topk_table"],
        "differences": [
            "baseline_table",
            "difference_table",
            "endpoint_table",
            "joint_table",
            "write_difference_tables",
        ],
        "study": [
            "ablation_table",
            "cones_table",
            "correlation_table",
            "cost_table",
            "first_wrong_table",
            "hierarchy_table",
            "nesting_table",
        ],
        "inputs": ["text_inputs_table"],
        "open_world": [
            "novelty_table",
            "open_world_difference_table",
            "trust_table",
            "write_open_world_tables",
        ],
        "fidelity": ["fidelity_gains_table", "fidelity_table"],
        "harder_reads": ["harder_differences_table", "harder_reads_table"],
        "published": ["published_clibd_table"],
        "document": ["write_document"],
    },
)
