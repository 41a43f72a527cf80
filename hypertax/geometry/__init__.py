"""The geometry of the study: points on the hyperboloid, distances, cones and the spaces built of
them.

Pure functions of tensors. Nothing here knows of specimens, models or files.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "lorentz": [
            "exp0",
            "log0",
            "distance",
            "pairwise_distance",
            "half_aperture",
            "exterior_angle",
        ],
        "spaces": ["EuclideanSpace", "LorentzSpace", "CapSpace", "Space"],
        "cone_angles": ["half_angle", "widest_cone"],
        "nested_cones": ["nested_radii"],
        "poincare": ["cone_outline", "disk_radius", "geodesic", "principal_plane"],
    },
)
