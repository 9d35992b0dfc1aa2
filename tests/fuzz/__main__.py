"""The long fuzzing: `make fuzz`. Prints how many inputs each reader was given, and ends with an error if one failed."""

import argparse
import sys
import time

from tests.fuzz.campaign import Campaign, campaign


def main() -> None:
    """Try inputs."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Give every reader odd inputs, for long.")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="what they are; the present time by default")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    found, shown = Campaign(), 0
    for found in campaign(options.inputs, seed=options.seed):
        tenth = found.inputs.total() * 10 // options.inputs
        if tenth > shown:
            shown = tenth
            print(f"{found.inputs.total():,} inputs, {found.failures} failures", flush=True)
    print("| inputs for | count |")
    print("| --- | ---: |")
    for name, count in found.inputs.most_common():
        print(f"| {name} | {count:,} |")
    print(f"| all | {found.inputs.total():,} |")
    print(f"{found.failures} failures; {found.transfers:,} transfers made by them, without a fault")
    if found.failures:
        sys.exit("\n\n".join(found.told))


if __name__ == "__main__":
    main()
