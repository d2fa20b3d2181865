"""What every test can ask for; each plugin tells its own part."""

pytest_plugins = ["tests.databases", "tests.servers", "tests.given", "tests.left_out", "tests.faults.figures"]
