"""The table of costs can be made; and the cached way is what it is for."""

import pytest

from tests.bench.tokens_cost import row, table


def test_the_table_has_a_row_for_each_algorithm() -> None:
    made = table(("EdDSA",), 0.0005).splitlines()
    assert len(made) == 3
    assert made[-1].startswith("| EdDSA | ")


@pytest.mark.item(166)
def test_a_cached_token_costs_a_small_part_of_a_verification() -> None:
    _, verified, foreign, cached, _ = row("RS256", 0.002)
    assert cached < verified / 10
    assert foreign < verified * 5
