# The peer of BenchmarkTraceAnalyses: what one writes first, without libraries.
# Counts, distances of all pairs, and leave-one-out of Markov models that back off,
# of the logs of the first recorder in a directory.
import collections
import json
import os
import re
import sys

LINE = re.compile(r"^\S+ \S+ logger\.go:\d+: (\d+) (\w+) +(.*)$")


def opens(path):
    names, counts = ["^"], collections.Counter()
    with open(path, errors="replace") as f:
        for line in f:
            m = LINE.match(line.rstrip("\n"))
            if not m:
                continue
            counts[m.group(2)] += 1
            if m.group(2) == "Open":
                name = m.group(3).split("\t")[0].rstrip(" ")
                names.append(re.sub(r"\.so(\.[0-9]+)+$", ".so", name))
    return names, counts


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a):
        diagonal, row[0] = row[0], i + 1
        for j, y in enumerate(b):
            diagonal, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, diagonal + (x != y))
    return row[-1]


def right(runs, order):
    n = 0
    for left in runs:
        tables = [collections.defaultdict(collections.Counter) for _ in range(order + 1)]
        for run in runs:
            if run is left:
                continue
            for i in range(1, len(run)):
                for k in range(min(order, i) + 1):
                    tables[k][tuple(run[i - k : i])][run[i]] += 1
        for i in range(1, len(left)):
            for k in range(min(order, i), -1, -1):
                seen = tables[k].get(tuple(left[i - k : i]))
                if seen:
                    n += max(sorted(seen), key=seen.get) == left[i]
                    break
    return n


directory = sys.argv[1]
logs = [opens(os.path.join(directory, name)) for name in sorted(os.listdir(directory))]
runs = [names for names, _ in logs]
json.dump(
    {
        "counts": sum((counts for _, counts in logs), collections.Counter()),
        "edits": [[distance(a, b) for b in runs] for a in runs],
        "right": [right(runs, order) for order in (0, 1, 2, 3)],
    },
    sys.stdout,
)
