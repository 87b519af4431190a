"""The phantoms by name: to simulate another anatomy, write its module and add its line here.

One that stays outside is an entry point: docs/extending.md.
"""

from functools import cache

from unimri.core.plugins import PHANTOM_GROUP, load_plugins
from unimri.data.simulate.phantoms.abdomen import Abdomen
from unimri.data.simulate.phantoms.brain import Brain
from unimri.data.simulate.phantoms.cardiac import Cardiac
from unimri.data.simulate.phantoms.knee import Knee
from unimri.data.simulate.phantoms.phantom import Phantom
from unimri.data.simulate.phantoms.prostate import Prostate

PHANTOMS: dict[str, type[Phantom]] = {
    "brain": Brain,
    "knee": Knee,
    "cardiac": Cardiac,
    "abdomen": Abdomen,
    "prostate": Prostate,
}


@cache
def phantoms() -> dict[str, type[Phantom]]:
    """All phantoms by name: these, and those of installed packages."""
    # Not when this module is imported: a phantom of another package imports modules beside it.
    return PHANTOMS | load_plugins(PHANTOM_GROUP, Phantom, PHANTOMS)
