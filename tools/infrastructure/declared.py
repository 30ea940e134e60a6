"""The tests' queues, buckets and tables are those of the module `data`."""

import re

RUST = "tests/src/cloud/resources.rs"


def seconds(text):
    """A product such as `14 * 24 * 3600`, as Terraform has it."""
    product = 1
    for factor in re.findall(r"\d+", str(text)):
        product *= int(factor)
    return product


def rust(tree):
    text = tree.read(RUST)
    # A comma before the end, and lines that were broken, mean nothing.
    flat = re.sub(r",\s*\)", ")", re.sub(r"\s+", " ", text))
    day = seconds(re.search(r"const DAY: u32 = ([^;]+);", flat).group(1))
    fields = dict(re.findall(r'(\w+): queue\(&sqs, "([a-z-]+)"\)', flat))
    told = {}
    for bucket, pairs in re.findall(r"bucket\(aws, (\w+), &\[(.*?)\]\)", flat):
        told[bucket] = {(prefix, fields[queue]) for prefix, queue in re.findall(r'\("([^"]+)", &queues\.(\w+)\)', pairs)}
    prefixes = re.search(r"let told = \[([^\]]+)\];.*?&queues\.(\w+)", flat)
    told["output"] = {(prefix, fields[prefixes.group(2)]) for prefix in re.findall(r'"([^"]+)"', prefixes.group(1))}
    names = dict(re.findall(r'(\w+): name\("([a-z-]+)"\)', flat))
    indexes = {f"{hash_key}-{range_key}" for hash_key, range_key in re.findall(r'\("(\w+)", "(\w+)"\)', re.search(r"let indices = \[(.*?)\];", flat).group(1))}
    tables = {}
    for field, keys, some in re.findall(r"table\(aws, &tables\.(\w+), &\[(.*?)\], &(\w+|\[\])\)", flat):
        tables[names[field]] = (re.findall(r'\("(\w+)", (\w)\)', keys), indexes if some == "indices" else set())
    expiring = {names[field] for field in re.findall(r"&tables\.(\w+)", re.search(r"for table in \[(.*?)\]", flat).group(1))}
    return {
        "queues": set(fields.values()),
        "visibility in seconds": int(re.search(r'VISIBILITY: &str = "(\d+)"', flat).group(1)),
        "receives": int(re.search(r"MAX_RECEIVES: u32 = (\d+)", flat).group(1)),
        "retention of queues": int(re.search(r"MessageRetentionPeriod, \((\d+) \* DAY\)", flat).group(1)) * day,
        "retention of dead letters": int(re.search(r"let kept = \((\d+) \* DAY\)", flat).group(1)) * day,
        "wait of receives": int(re.search(r'ReceiveMessageWaitTimeSeconds, "(\d+)"', flat).group(1)),
        "events of the input bucket": told["input"],
        "events of the output bucket": told["output"],
        "keys and indexes of tables": tables,
        "tables whose items expire": expiring,
    }


def one(values, what):
    found = set(values)
    if len(found) != 1:
        raise ValueError(f"modules/data: {what} differ from queue to queue: {sorted(found)}")
    return found.pop()


def events(body):
    """(prefix, queue) of a bucket's notifications."""
    loop = body.get("dynamic", [{}])[0].get("queue")
    if loop:
        queue = re.search(r'this\["([a-z-]+)"\]', loop["content"][0]["queue_arn"]).group(1)
        return {(prefix, queue) for prefix in loop["for_each"]}
    return {(queue["filter_prefix"], re.search(r'this\["([a-z-]+)"\]', queue["queue_arn"]).group(1)) for queue in body["queue"]}


def terraform(tree):
    data = tree.module("data")
    queues = data.locals["queues"]
    resources = {(kind, name): body for kind, name, body in data.resources()}
    tables, expiring = {}, set()
    for (kind, _), body in resources.items():
        if kind == "aws_dynamodb_table":
            name = body["name"].removeprefix("${var.name}-")
            types = {attribute["name"]: attribute["type"] for attribute in body["attribute"]}
            keys = [key for key in (body["hash_key"], body.get("range_key")) if key]
            indexes = {index["name"] for index in body.get("global_secondary_index", [])}
            tables[name] = ([(key, types[key]) for key in keys], indexes)
            if body.get("ttl", [{}])[0].get("enabled"):
                expiring.add(name)
    source, dead = resources["aws_sqs_queue", "this"], resources["aws_sqs_queue", "dead_letters"]
    return {
        "queues": set(queues),
        "visibility in seconds": one((it["visibility_seconds"] for it in queues.values()), "visibility_seconds"),
        "receives": one((it["max_receives"] for it in queues.values()), "max_receives"),
        "retention of queues": seconds(source["message_retention_seconds"]),
        "retention of dead letters": seconds(dead["message_retention_seconds"]),
        "wait of receives": source["receive_wait_time_seconds"],
        "events of the input bucket": events(resources["aws_s3_bucket_notification", "input"]),
        "events of the output bucket": events(resources["aws_s3_bucket_notification", "output"]),
        "keys and indexes of tables": tables,
        "tables whose items expire": expiring,
    }


def check(tree):
    try:
        ours, theirs = terraform(tree), rust(tree)
    except (ValueError, KeyError, AttributeError) as error:
        return [f"modules/data and {RUST} cannot be compared: {error!r}"]
    return [f"{what}: modules/data has {ours[what]}, {RUST} has {theirs[what]}" for what in ours if ours[what] != theirs[what]]
