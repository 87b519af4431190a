"""The lines that a training logs."""

import logging

import pytest

from unimri.training.callbacks import Course, Display


@pytest.mark.parametrize(
    ("lines", "epochs", "expected"),
    [
        (None, 4, [1, 2, 3, 4]),
        (10, 4, [1, 2, 3, 4]),
        (10, 10, list(range(1, 11))),
        (10, 50, list(range(5, 51, 5))),
        (10, 101, [11, 21, 31, 41, 51, 61, 71, 81, 91, 101]),
        (1, 7, [7]),
    ],
)
def test_so_many_lines_are_told_and_the_last_epochs_among_them(
    lines: int | None, epochs: int, expected: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    display = Display(lines)
    display.on_start(Course("adapted", ("hip",), epochs, 2, 4, 0, lambda: iter(())))
    with caplog.at_level(logging.INFO, logger="unimri"):
        for epoch in range(1, epochs + 1):
            display.on_step(2 * epoch, 0.5, 0.01)
            display.on_epoch({"epoch": epoch, "step": 2 * epoch, "train_loss": 0.5, "validation_psnr_db": 30.0})
    display.on_end()
    assert [record.args[1] for record in caplog.records if isinstance(record.args, tuple)] == expected
