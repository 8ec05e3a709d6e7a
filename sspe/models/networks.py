"""The kinds of network that put regions and phrases into one space, by name."""

from sspe.models.cca import CCANetwork
from sspe.models.similarity import SimilarityNetwork
from sspe.models.two_branch import TwoBranchNetwork
from sspe.settings import NetworkSettings

NETWORKS = {"embedding": TwoBranchNetwork, "similarity": SimilarityNetwork, "cca": CCANetwork}


def create_network(image_features: int, text_features: int, settings: NetworkSettings) -> TwoBranchNetwork:
    """The network of the settings for features of these lengths, its weights random. Raises ValueError for a kind."""
    if settings.kind not in NETWORKS:
        raise ValueError(f"the kind of network is {settings.kind!r}; choose one of {', '.join(NETWORKS)}")
    return NETWORKS[settings.kind](image_features, text_features, settings)
