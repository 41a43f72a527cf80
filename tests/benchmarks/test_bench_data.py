"""The rates of data at scale: what is measured is distinct, and hours follow from the rate."""

import time

import pytest

from benchmarks.data_rates import CORES, SPECIMENS, distinct_reads, rate_row


def test_reads_are_distinct_and_near_the_given_ones():
    given = ["ACGT" * 150, "TTGA" * 150]
    reads = distinct_reads(given, 50)
    assert len(set(reads)) == 50 and {len(read) for read in reads} == {600}
    different = [sum(a != b for a, b in zip(read, given[i % 2])) for i, read in enumerate(reads)]
    assert max(different) <= 6


def test_hours_follow_from_the_rate():
    def busy():
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass

    row = rate_row("busy", 10, busy)
    assert 20 < row["per second and core"] <= 200
    assert row["hours, 1 core"] == pytest.approx(SPECIMENS / row["per second and core"] / 3600)
    assert row[f"hours, {CORES} cores"] == row["hours, 1 core"] / CORES
