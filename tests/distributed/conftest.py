"""The second process of these tests: started by the first test that needs it, and used by the others too."""

import pytest

from winnow.parallel import workers


@pytest.fixture(scope="package", autouse=True)
def _no_process_is_left():
    yield
    workers.stop()
