"""Tables stay within the terminal and keep their numbers under one another."""

from waybill_cli.tables import lines

ROWS = [
    ("kb", "7", "short"),
    ("routing", "1200", "a reason that is \x1b[1mfar too long for one line"),
]


def test_the_last_column_gives_way_and_the_others_stay() -> None:
    folded = list(lines(("a", "n", "why"), ROWS, right={"n"}, cut=False, width=40))
    assert max(map(len, folded)) <= 40
    assert folded[1].index("7") == folded[2].index("1200") + 3
    assert len(folded) > 3
    assert all(line.isprintable() for line in folded)
    cut = list(lines(("a", "n", "why"), ROWS, right={"n"}, cut=True, width=40))
    assert len(cut) == 3
    assert cut[2].endswith("...")
