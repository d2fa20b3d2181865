"""What every test can ask for; each plugin tells its own part."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.databases", "tests.servers", "tests.given", "tests.left_out", "tests.faults.figures"]

# A slow machine is no failure.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")
