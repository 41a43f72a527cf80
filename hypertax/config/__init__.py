"""What a run is: its parameters, their limits, the presets that fill them and the recipes that
combine them.

Importing it loads neither torch nor data.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "run_config": ["RunConfig", "in_space"],
        "presets": ["PRESETS"],
        "recipes": ["RECIPES", "Recipe"],
        "parameters": ["check_parameters", "parse_value", "refuse_unknown"],
    },
)
