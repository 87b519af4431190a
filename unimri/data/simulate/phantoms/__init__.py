"""The phantoms by name: to simulate another anatomy, write its module and add its line here."""

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
