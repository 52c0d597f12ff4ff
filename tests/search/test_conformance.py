import pytest

import designopt as do
from designopt.testing import check_searcher


@pytest.mark.parametrize("name", do.backends())
def test_backend_conforms(name):
    check_searcher(do.backend(name))
