"""What takes longer uses the same machines as the integration tests."""

from tests.integration.conftest import base, environment, lab, small
from tests.vm.conftest import bare

__all__ = ["bare", "base", "environment", "lab", "small"]
