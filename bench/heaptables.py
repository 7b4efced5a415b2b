# SPDX-License-Identifier: GPL-2.0-or-later
# SPDX-FileCopyrightText: the libluo authors
"""The tables of what bench/heap has measured."""

import statistics

AIM_ALLOC = 1.5
AIM_ATTACH = 1000.0  # microseconds
AIM_KVD = 0.8

MOMENTS = {"idle": "not in a change", "random": "at a random moment, 10 objects a transaction",
           "inside": "in a transaction of 1,000 objects"}


def chosen(rows, bench, **wanted):
    return [row for row in rows if row["bench"] == bench and all(row.get(key) == value for key, value in wanted.items())]


def distinct(rows, *keys):
    """The values of these keys, in the order of their first row."""
    return list(dict.fromkeys(tuple(row[key] for key in keys) for row in rows))


def judged(good):
    return "met" if good else "missed"


def size(value):
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if value >= 1 << shift:
            return f"{value / (1 << shift):.3g} {unit}"
    return f"{value} bytes"


def times(usec):
    for limit, divisor, unit, digits in ((1e3, 1, "us", 0), (1e6, 1e3, "ms", 2)):
        if usec < limit:
            return f"{usec / divisor:.{digits}f} {unit}"
    return f"{usec / 1e6:.2f} s"


def alloc(rows):
    """Operations a second of each; the ratio is of times, so that above 1 is slower than glibc."""
    rows = chosen(rows, "heap-alloc")
    for workload, threads in distinct(rows, "workload", "threads"):
        mops = {row["what"]: row["mops"] for row in rows if (row["workload"], row["threads"]) == (workload, threads)}
        ratio = statistics.median(mops["glibc"]) / statistics.median(mops["luo_heap"])
        yield {"workload": workload, "threads": threads,
               "mops": {what: round(statistics.median(values), 1) for what, values in mops.items()},
               "ratio": round(ratio, 3), "ratio_of_best": round(max(mops["glibc"]) / max(mops["luo_heap"]), 3),
               "aim": AIM_ALLOC, "verdict": judged(ratio <= AIM_ALLOC)}


def attach(rows):
    rows = chosen(rows, "heap-attach")
    for files, each in distinct(rows, "files", "bytes"):
        heap, dump = (chosen(rows, "heap-attach", what=what, files=files, bytes=each)[0] for what in ("attach", "load"))
        mine = statistics.median(heap["usec"])
        yield {"files": files, "bytes": each, "attach_usec": mine, "attach_worst_usec": max(heap["usec"]),
               "load_usec": statistics.median(dump["usec"]), "attach_walk_usec": statistics.median(heap["all_usec"]),
               "load_walk_usec": statistics.median(dump["all_usec"]), "aim": AIM_ATTACH, "verdict": judged(mine <= AIM_ATTACH)}


def recover(rows):
    rows = chosen(rows, "heap-recover")
    for moment, in distinct(rows, "what"):
        mine = sorted(chosen(rows, "heap-recover", what=moment), key=lambda row: row["bytes"])
        yield {"moment": moment, "sizes": [row["bytes"] for row in mine],
               "usec": [statistics.median(row["usec"]) for row in mine], "best_usec": [min(row["usec"]) for row in mine],
               "recovered": [row["recovered"] for row in mine], "rounds": len(mine[0]["usec"])}


def kvd(rows):
    rows = chosen(rows, "kvd")
    keys = ("transport", "depth", "gets", "bytes")
    for values in distinct(rows, *keys):
        servers = {row["what"]: row for row in chosen(rows, "kvd", **dict(zip(keys, values)))}
        medians = {what: statistics.median(row["persecond"]) for what, row in servers.items()}
        result = {**dict(zip(keys, values)), "persecond": medians, "p99_usec": {
            what: statistics.median(row["p99_usec"]) for what, row in servers.items()}, "cpu_usec": {
            what: statistics.median(row["cpu_usec"]) for what, row in servers.items()}}
        if "memcached" in servers:
            result["ratio"] = round(medians["kvd"] / medians["memcached"], 3)
            result["ratio_of_one_thread"] = round(medians["kvd"] / medians["memcached -t 1"], 3)
            result["ratio_of_best"] = round(max(servers["kvd"]["persecond"]) / max(servers["memcached"]["persecond"]), 3)
            result |= {"aim": AIM_KVD, "verdict": judged(result["ratio"] >= AIM_KVD)}
        yield result


def report(rows):
    return {"heap_alloc": list(alloc(rows)), "heap_attach": list(attach(rows)), "heap_recover": list(recover(rows)),
            "heap_cost": [{"what": row["what"], "nsec": statistics.median(row["nsec"]), "best_nsec": min(row["nsec"])}
                          for row in chosen(rows, "heap-cost")],
            "heap_footprint": chosen(rows, "heap-footprint"), "kvd": list(kvd(rows)),
            "kvd_restart": [{"what": row["what"], "usec": statistics.median(row["usec"]), "best_usec": min(row["usec"])}
                            for row in chosen(rows, "kvd-restart")]}


def print_alloc(table, found):
    contestants = [what for what in found[0]["mops"] if what != "luo_heap"]
    table("Allocators: million times a second that a block is replaced by another; the ratio is how much longer luo_heap "
          "takes than glibc", ["", "threads", *contestants, "luo_heap", "ratio", "of best", "aim", ""],
          [[row["workload"], f"{row['threads']}", *(f"{row['mops'][what]:.1f}" for what in [*contestants, "luo_heap"]),
            f"{row['ratio']:.2f}", f"{row['ratio_of_best']:.2f}", f"{row['aim']:.2f}", row["verdict"]] for row in found])


def print_kvd(table, found):
    servers = list(found[0]["persecond"])
    table("kvd and memcached: requests a second, 50 connections",
          ["", "under way", "gets", "value", *servers, "ratio", "of 1 thread", "of best", "aim", ""],
          [[row["transport"], f"{row['depth']} each", f"{row['gets']} %", size(row["bytes"]),
            *(f"{row['persecond'][what]:,.0f}" for what in servers),
            *(f"{row[key]:.2f}" if key in row else "" for key in ("ratio", "ratio_of_one_thread", "ratio_of_best", "aim")),
            row.get("verdict", "")] for row in found])
    table("The same: processor time of the server for a request, and how long 99 of 100 answers take at most",
          ["", "under way", "gets", "value", *servers, *(f"{what}, p99" for what in servers)],
          [[row["transport"], f"{row['depth']} each", f"{row['gets']} %", size(row["bytes"]),
            *(f"{row['cpu_usec'][what]:.2f} us" for what in servers),
            *(times(row["p99_usec"][what]) for what in servers)] for row in found])


def print_recover(table, found):
    sizes = found[0]["sizes"]
    table("Opening a heap whose owner was killed, by the size of the heap",
          ["killed", "recovered", *map(size, sizes), "largest to 16 MiB"],
          [[MOMENTS[row["moment"]], f"{sum(row['recovered'])} of {row['rounds'] * len(sizes)}", *map(times, row["usec"]),
            f"{row['usec'][-1] / row['usec'][min(1, len(sizes) - 1)]:.2f}"] for row in found])


def print_tables(table, found):
    """@table prints one: title, header, rows of text."""
    if found["heap_alloc"]:
        print_alloc(table, found["heap_alloc"])
    if found["heap_footprint"]:
        table("Memory that a block of 64 bytes takes, of 10 million", ["", "", "bytes", "on top"],
              [[row["what"], "", f"{row['bytes_each']:.2f}", f"{100 * row['bytes_each'] / row['size'] - 100:.1f} %"]
               for row in found["heap_footprint"]])
    if found["heap_cost"]:
        table("Single operations, everything in the caches", ["", "", "median", "best"],
              [[row["what"], "", f"{row['nsec']:.1f} ns", f"{row['best_nsec']:.1f} ns"] for row in found["heap_cost"]])
    if found["heap_attach"]:
        table("From opening a heap to its first record, beside loading the same records from a binary dump; and how long it "
              "takes afterwards to look at all records",
              ["records", "of", "heap", "worst", "dump", "times", "aim", "", "then all: heap", "dump"],
              [[f"{row['files']:,}", size(row["bytes"]), times(row["attach_usec"]), times(row["attach_worst_usec"]),
                times(row["load_usec"]), f"{row['load_usec'] / row['attach_usec']:,.1f}", times(row["aim"]), row["verdict"],
                times(row["attach_walk_usec"]), times(row["load_walk_usec"])] for row in found["heap_attach"]])
    if found["heap_recover"]:
        print_recover(table, found["heap_recover"])
    if found["kvd"]:
        print_kvd(table, found["kvd"])
    if found["kvd_restart"]:
        table("From the start to the first answered get, with 1 GiB of items in values of 1 KiB", ["", "", "median", "best"],
              [[row["what"], "", times(row["usec"]), times(row["best_usec"])] for row in found["kvd_restart"]])
