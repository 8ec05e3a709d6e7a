"""The kinds of network that put regions and phrases into one space, by name."""

from sspe.models.cca import CCANetwork
from sspe.models.similarity import SimilarityNetwork
from sspe.models.two_branch import TwoBranchNetwork
from sspe.settings import NetworkSettings

NETWORKS = {"embedding": TwoBranchNetwork, "similarity": SimilarityNetwork, "cca": CCANetwork}


def create_network(
    image_features: int, text_features: int, settings: NetworkSettings, named: bool = False
) -> TwoBranchNetwork:
    """The network of the settings for features of these lengths, its weights random. Raises ValueError for a kind.

    ``named`` gives an embedding its named part; the other kinds read a detector's scores as features alone.
    """
    if settings.kind not in NETWORKS:
        raise ValueError(f"the kind of network is {settings.kind!r}; choose one of {', '.join(NETWORKS)}")
    if settings.kind == "embedding":
        return TwoBranchNetwork(image_features, text_features, settings, named)
    return NETWORKS[settings.kind](image_features, text_features, settings)
