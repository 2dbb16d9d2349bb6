"""What takes longer uses the same machines as the integration tests."""

from tests.integration.conftest import base, environment, lab, small

__all__ = ["base", "environment", "lab", "small"]
