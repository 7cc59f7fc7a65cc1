"""Virtual streams: rates, latency and resumption against native TCP, and an outage against other programs."""

from __future__ import annotations

import sys

import _streams_outage as outage
import _streams_rates as rates
import _streams_resumption as resumption
from _figures import arguments, print_json
from _stage import BenchmarkError

from migrated.lab import ensure_privileged

TOPICS = ("rates", "resumption", "outage")


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--rounds", type=int, default=7, help="pairs of measurements for each figure (7)")
    parser.add_argument("--cuts", type=int, default=5, help="cuts under each system that is compared (5)")
    parser.add_argument("--limit-s", type=float, default=10.0, help="seconds to wait for a key's echo (10)")
    parser.add_argument("--only", choices=TOPICS, action="append", help="only this topic")
    options = parser.parse_args()
    ensure_privileged()
    topics = options.only or TOPICS
    rounds = 1 if options.quick else options.rounds
    results: dict[str, object] = {}
    if "rates" in topics:
        found = rates.measure(rounds, *((0.02, 50) if options.quick else (0.2, 1000)))
        results["throughput"], results["latency"] = found
        if not options.json:
            rates.print_rates(found[0])
            rates.print_latencies(found[1])
    if "resumption" in topics:
        results["resumption"] = rows = resumption.measure(1 if options.quick else 3 * rounds)
        if not options.json:
            resumption.print_resumptions(rows)
    if "outage" in topics:
        cuts, limit_s = (1, min(6.0, options.limit_s)) if options.quick else (options.cuts, options.limit_s)
        results["outage"] = gaps = outage.measure(cuts, limit_s)
        if not options.json:
            outage.print_gaps(gaps)
    if options.json:
        print_json(results)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"nothing measured: {error}")
