"""How many inputs the properties are tried on: a few, always the same ones, or with --hypothesis-profile=many 2,000."""

from hypothesis import HealthCheck, settings

_SHARED = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("few", max_examples=25, derandomize=True, **_SHARED)
settings.register_profile("many", max_examples=2000, **_SHARED)


def pytest_collection(session):
    if not session.config.getoption("--hypothesis-profile"):
        settings.load_profile("few")
