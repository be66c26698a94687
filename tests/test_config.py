import os
from pathlib import Path

import pytest

from gateway.config import Config, ConfigError, is_exposed, load, parse
from gateway.config.cors import compiled
from gateway.config.models import KeyFile
from gateway.cors import Rule

ROOT = Path(__file__).parent.parent
SECRET = "do-not-show-me"


def problems(text, environment=None):
    with pytest.raises(ConfigError) as caught:
        parse(text, "c.yaml", environment or {})
    return str(caught.value).splitlines()


def problem(text, environment=None):
    (only,) = problems(text, environment)
    return only


def test_config_yaml_says_what_no_configuration_says():
    assert load(ROOT / "config.yaml", {}) == Config.model_validate({})


def examples():
    """Yield config.yaml with each of its commented examples in the place of what it is an example for."""
    blocks = (ROOT / "config.yaml").read_text().split("\n\n")
    for position, block in enumerate(blocks):
        plain = [line for line in block.splitlines() if not line.startswith("#")]
        comments = [line[1:] for line in block.splitlines() if line.startswith("#") and line[1:2] not in {" ", ""}]
        indented = [line[1:] for line in block.splitlines() if line.startswith("#  ")]
        starts = [line for line in comments if not line.startswith(" ")]
        for start in starts:
            name = start.split(":")[0]
            lines = (ROOT / "config.yaml").read_text().splitlines()
            at = lines.index("#" + start)
            body = []
            for line in lines[at + 1 :]:
                if not line.startswith("#  "):
                    break
                body.append(line[1:])
            kept = "\n\n".join([*blocks[:position], *blocks[position + 1 :]])
            others = [line for line in plain if not line.startswith((name + ":", " "))]
            yield start, "\n".join([kept, *others, start, *body])
        if indented and not starts:
            yield (
                block.splitlines()[0],
                (ROOT / "config.yaml").read_text().replace(block, block.replace("\n#  ", "\n  ")),
            )


@pytest.mark.parametrize(
    ("name", "text"), [pytest.param(name, text, id=name.split(":")[0]) for name, text in examples()]
)
def test_every_example_of_config_yaml_loads(name, text):
    assert parse(text, "config.yaml", {}) != Config.model_validate({})


def test_config_yaml_has_examples():
    assert len(list(examples())) >= 9


ADDRESS = "expected an address and a port such as 127.0.0.1:9000, [::1]:9000 or :9000"
DURATION = "expected a duration such as 30s, 15m, 1h30m or 7d"
SIZE = "expected a size such as 64KiB, 1MiB or 500MB"
SHARED = "memory is not shared by several workers, set workers: 1"
TYPES = "expected one of 'gcs', 'local', 'memory', 'r2', 's3'"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lisen: 1", "1: lisen: unknown key, did you mean listen?"),
        ("buckets:\n  m:\n    bakend: x", "3: buckets.m.bakend: unknown key, did you mean backend?"),
        ("log: {xyzzy: 1}", "1: log.xyzzy: unknown key, known are format, level, audit"),
        ("keys: [{access_key: a, alow: []}]", "1: keys[0].alow: unknown key, did you mean allow?"),
        ("drain: soon", f"1: drain: {DURATION}, got 'soon'"),
        ("drain: 30", f"1: drain: {DURATION}, got 30"),
        ("limits: {memory: 1MiB}", "1: limits.memory: expected auto or a size of at least 16MiB, got '1MiB'"),
        ("limits: {headers: 1TB}", f"1: limits.headers: {SIZE}, got '1TB'"),
        ("listen: 9000", f"1: listen: {ADDRESS}, got 9000"),
        ("listen: a:70000", f"1: listen: {ADDRESS}, got 'a:70000'"),
        ("workers: 0", "1: workers: expected auto or a number from 1 to 256, got 0"),
        ("log: {level: loud}", "1: log.level: expected 'debug', 'info', 'warning' or 'error', got 'loud'"),
        ("log: loud", "1: log: expected keys and values, got 'loud'"),
        ("backends: {a: {type: local}}", "1: backends.a.path: is required"),
        ("backends: {a: {path: x}}", "1: backends.a.type: is required"),
        ("backends: {a: {type: x}}", f"1: backends.a.type: {TYPES}, got 'x'"),
        ("keys: [{access_key: a, secret_key: short}]", "1: keys[0].secret_key: expected at least 8 characters"),
        ("backends: {}\nbuckets: {}", "1: backends: must not be empty"),
        ("tls: {certificate: x}", "1: tls.key: is required"),
        ("admin: 127.0.0.1:9000", "1: admin: port 9000 is that of listen already"),
        ('buckets: {"*": {backend: x}}', '1: buckets.*.backend: there is no backend "x", there are: disk'),
        ("backends: {m: {type: memory}}\nworkers: 2", f"1: backends.m.type: {SHARED}"),
        ("region: us-east-1\nregion: eu-west-1", "2: region: is there more than once"),
        ("- a", "1: the file: expected keys and values"),
        ("a: [", "1: is not YAML: expected the node content, but found '<stream end>'"),
        ("a: ${", "1: a: ${ must be ${NAME}, ${NAME:-default} or ${file:PATH}"),
        ("region: ${NOPE}", "1: region: environment variable NOPE is not set"),
        ("region: ${file:/no/x}", "1: region: the file /no/x cannot be read: No such file or directory"),
    ],
)
def test_a_problem_is_told_with_line_place_and_what_was_expected(text, expected):
    assert f"c.yaml:{expected}" in problems(text)


SHOWN = 'shows keys of "u" in backend d that'
REACHED = 'the bucket "u" of backend d can be reached under its own name by buckets.* too: '
MENDED = 'give that another backend, or "u" an entry'


@pytest.mark.parametrize(
    ("buckets", "expected"),
    [
        ("  a: {backend: d, name: u}\n  u: {backend: d}", f"4: buckets.u.backend: {SHOWN} buckets.a.name shows"),
        ("  a: {backend: d, name: u}\n  b: {backend: d, name: u}", f"4: buckets.b.name: {SHOWN} buckets.a.name shows"),
        (
            "  a: {backend: d, name: u, prefix: x/y/}\n  b: {backend: d, name: u, prefix: x/}",
            f"4: buckets.b.prefix: {SHOWN} buckets.a.prefix shows",
        ),
        (
            "  a: {backend: d, name: u}\n  b: {backend: again, name: u, prefix: x/}",
            f"4: buckets.b.prefix: {SHOWN.replace(' d ', ' again ')} buckets.a.name shows",
        ),
        ('  a: {backend: d, name: u}\n  "*": {backend: d}', f"3: buckets.a.name: {REACHED}{MENDED}"),
        ('  a: {backend: d, name: u, prefix: x/}\n  "*": {backend: again}', f"3: buckets.a.prefix: {REACHED}{MENDED}"),
        ('  "*": {backend: d, prefix: x/}', "3: buckets.*.prefix: is for one bucket, these are many"),
        ('  "*": {backend: d, name: x}', "3: buckets.*.name: is for one bucket, these are many"),
        ("  a: {backend: d, prefix: /x}", "3: buckets.a.prefix: expected a prefix such as media/"),
        ("  a: {backend: d, prefix: .gw/x/}", "3: buckets.a.prefix: what begins with .gw/ is the gateway's own"),
        ("  a: {backend: d, prefix: .}", "3: buckets.a.prefix: what begins with .gw/ is the gateway's own"),
        ('  a: {backend: d, prefix: "x\\n"}', "3: buckets.a.prefix: expected at most 512 bytes"),
        ("  a: {backend: d, name: ../x}", "3: buckets.a.name: string should match"),
    ],
)
def test_routes_by_which_one_bucket_would_show_another_are_refused(buckets, expected):
    text = f"backends: {{d: {{type: local, path: d}}, again: {{type: local, path: d}}}}\nbuckets:\n{buckets}"
    assert problem(text).startswith(f"c.yaml:{expected}")


ENDED = "goes together with migrate_from only when that has ended"


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        ("{backend: new, migrate_from: old, fallback: other}", f"3: buckets.m.fallback: {ENDED}"),
        ("{backend: new, migrate_from: old, mirrors: [other]}", f"3: buckets.m.mirrors: {ENDED}"),
        ("{backend: new, migrate_from: old, acls: canned}", f"3: buckets.m.acls: {ENDED}"),
        ("{backend: new, migrate_from: none}", '3: buckets.m.migrate_from.backend: there is no backend "none"'),
        ("{backend: new, migrate_from: gone}", "3: buckets.m.migrate_from.backend: memory keeps nothing"),
        ("{backend: gone, migrate_from: old}", "3: buckets.m.backend: memory keeps nothing"),
        (
            "{backend: new, migrate_from: new}",
            "3: buckets.m.migrate_from: is where the objects of this bucket are to be",
        ),
        ("{backend: ceph, migrate_from: old}", "3: buckets.m.backend: the storage there (ceph) writes under no"),
        ("{backend: any, migrate_from: old}", "3: buckets.m.backend: the storage there (generic) writes under no"),
    ],
)
def test_moves_that_cannot_be_made_safely_are_refused(bucket, expected):
    backends = (
        "{new: {type: local, path: n}, old: {type: local, path: o}, other: {type: local, path: p},"
        " gone: {type: memory}, ceph: {type: s3, dialect: ceph, endpoint: 'http://c'}, any: {type: s3, endpoint: 'http://x'}}"
    )
    told = problems(f"backends: {backends}\nbuckets:\n  m: {bucket}")
    assert any(line.startswith(f"c.yaml:{expected}") for line in told)


def test_many_buckets_do_not_move_as_one():
    backends = "{n: {type: local, path: n}, o: {type: local, path: o}}"
    text = f"backends: {backends}\nbuckets: {{'*': {{backend: n, migrate_from: o}}}}"
    assert problems(text) == ["c.yaml:2: buckets.*.migrate_from: is for one bucket, these are many"]


@pytest.mark.parametrize(
    "bucket",
    [
        "{backend: r2, migrate_from: old}",
        "{backend: aws, migrate_from: {backend: old, name: other, prefix: media/, limits: {bandwidth: 1MiB}}}",
        "{backend: old, name: new, migrate_from: {backend: old, name: old}}",
        "{backend: old, prefix: new/, migrate_from: {backend: old, prefix: old/}, read_only: on}",
    ],
)
def test_moves_that_can_be_made_are_taken(bucket):
    backends = "{old: {type: local, path: o}, aws: {type: s3}, r2: {type: r2, account: abc}}"
    assert parse(f"backends: {backends}\nbuckets: {{m: {bucket}}}", "c.yaml", {}).buckets["m"].migrate_from


@pytest.mark.parametrize(
    "buckets",
    [
        "{a: {backend: d, name: u, prefix: a/}, b: {backend: d, name: u, prefix: b/}}",
        "{a: {backend: d, name: u}, b: {backend: e, name: u}}",
        '{a: {backend: d, name: u}, u: {backend: e}, "*": {backend: d}}',
        '{a: {backend: d, name: u}, "*": {backend: e}}',
        '{a: {backend: d, prefix: x/}, "*": {backend: d}}',
        '{a: {backend: d, name: u, prefix: a/}, u: {backend: d, prefix: u/}, "*": {backend: d}}',
    ],
)
def test_routes_that_stay_apart_are_taken(buckets):
    backends = "backends: {d: {type: local, path: d}, e: {type: local, path: e}}"
    assert parse(f"{backends}\nbuckets: {buckets}", "c.yaml", {}).buckets


def test_uploads_expire_by_themselves_only_where_none_of_another_program_can_be():
    text = """
backends: {d: {type: local, path: d}, s: {type: s3}, r: {type: r2, account: a}, g: {type: gcs}}
uploads: {expire: 2d}
buckets:
  d: {backend: d}
  g: {backend: g}
  s: {backend: s}
  r: {backend: r}
  asked: {backend: s, expire_uploads: 1d}
  fixed: {backend: d, read_only: on, expire_uploads: 1d}
"""
    config = parse(text, "c.yaml", {})
    day = 86400.0
    assert {name: config.expire_uploads(bucket) for name, bucket in config.buckets.items()} == {
        "d": 2 * day,
        "g": 2 * day,
        "s": None,
        "r": None,
        "asked": day,
        "fixed": None,
    }


def with_cors(rules):
    return f"buckets:\n  '*':\n    backend: disk\n    cors:\n{rules}"


def test_what_pages_may_ask_is_taken_as_it_is_said():
    origins = "id: app, allowed_origins: ['https://*.a.b', 'null'], allowed_methods: [GET, PUT]"
    headers = "allowed_headers: [x-amz-*], expose_headers: [ETag], max_age: 50m"
    config = parse(with_cors(f"      - {{{origins}, {headers}}}"), "c.yaml", {})
    rules = compiled(config.bucket("any").cors)
    assert rules.rules == [Rule(("https://*.a.b", "null"), ("GET", "PUT"), ("x-amz-*",), ("ETag",), 3000, "app")]


def test_without_rules_pages_may_ask_nothing():
    assert compiled(Config.model_validate({}).bucket("any").cors) is None


ORIGIN = "expected an origin such as https://app.example.com, without a path or a / at its end"
ALLOWED = 'expected the name of a header such as content-type, with at most one "*"'
EXPOSED = 'expected the name of a header such as ETag, without any "*"'


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("allowed_methods: [GET]", ".allowed_origins: is required"),
        ("allowed_origins: ['*']", ".allowed_methods: is required"),
        ("allowed_origins: [], allowed_methods: [GET]", ".allowed_origins: must not be empty"),
        ("allowed_origins: ['*'], allowed_methods: []", ".allowed_methods: must not be empty"),
        ("allowed_origins: ['http://*.*'], allowed_methods: [GET]", '.allowed_origins[0]: expected at most one "*"'),
        ("allowed_origins: ['*', 'https://a.b/'], allowed_methods: [GET]", f".allowed_origins[1]: {ORIGIN}"),
        ("allowed_origins: ['https://a.b/c'], allowed_methods: [GET]", f".allowed_origins[0]: {ORIGIN}"),
        ("allowed_origins: ['a b'], allowed_methods: [GET]", f".allowed_origins[0]: {ORIGIN}"),
        (
            "allowed_origins: ['*'], allowed_methods: [GET, PATCH]",
            ".allowed_methods[1]: expected 'GET', 'PUT', 'POST', 'DELETE' or 'HEAD'",
        ),
        ("allowed_origins: ['*'], allowed_methods: [GET], allowed_headers: ['*x*']", f".allowed_headers[0]: {ALLOWED}"),
        ("allowed_origins: ['*'], allowed_methods: [GET], allowed_headers: ['x y']", f".allowed_headers[0]: {ALLOWED}"),
        ("allowed_origins: ['*'], allowed_methods: [GET], expose_headers: ['*']", f".expose_headers[0]: {EXPOSED}"),
        ("allowed_origins: ['*'], allowed_methods: [GET], max_age: 3000", f".max_age: {DURATION}"),
        (
            f"allowed_origins: ['*'], allowed_methods: [GET], id: {'x' * 256}",
            ".id: string should have at most 255 characters",
        ),
        ("allowed_origins: ['*'], allowed_methods: [GET], age: 1", ".age: unknown key"),
    ],
)
def test_rules_that_s3_would_not_take_stop_the_start(said, expected):
    assert problem(with_cors(f"      - {{{said}}}")).startswith(f"c.yaml:5: buckets.*.cors[0]{expected}")


def test_no_bucket_has_more_rules_than_s3_lets_it():
    rule = "      - {allowed_origins: ['*'], allowed_methods: [GET]}\n"
    assert len(parse(with_cors(rule * 100), "c.yaml", {}).bucket("any").cors) == 100
    assert problem(with_cors(rule * 101)) == "c.yaml:4: buckets.*.cors: expected at most 100 rules, there are 101"


def test_all_problems_are_told_at_once_in_the_order_of_the_file():
    text = "drain: soon\nlisen: x\nworkers: many\nbackends:\n  a: {type: local}\n  b: {type: locl}\nbuckets: {}\n"
    told = problems(text)
    assert [line.split(":")[1] for line in told] == ["1", "2", "3", "5", "6"]


def test_several_backends_need_buckets():
    told = problem("backends: {a: {type: local, path: a}, b: {type: local, path: b}}")
    assert told == "c.yaml:1: buckets: is required"


def test_one_backend_takes_every_bucket():
    config = parse("backends: {only: {type: memory}}", "c.yaml", {})
    assert {name: bucket.backend for name, bucket in config.buckets.items()} == {"*": "only"}


@pytest.mark.parametrize(
    "text",
    [
        f"keys: [{{access_key: a b, secret_key: {SECRET}}}]",
        f"keys: [{{access_key: a, secret_key: [{SECRET}]}}]",
        f"keys: [{{access_key: a, secret_key: {SECRET}, x: 1}}, {{access_key: a, secret_key: {SECRET}}}]",
        "keys: [{access_key: a, secret_key: ${S}, x: 1}]",
        "region: ${S}!",
        "drain: ${S}",
        "listen: ${S}",
        "backends: {a: {type: '${S}'}}",
    ],
)
def test_secrets_are_never_shown(text):
    assert SECRET not in "\n".join(problems(text, {"S": SECRET}))


def test_the_secret_keys_of_a_configuration_are_not_in_its_repr():
    config = parse(f"keys: [{{access_key: a, secret_key: {SECRET}}}]", "c.yaml", {})
    assert SECRET not in repr(config)
    assert config.keys[0].secret_key.get_secret_value() == SECRET


def test_access_keys_are_there_once():
    told = problem(f"keys: [{{access_key: a, secret_key: {SECRET}}}, {{access_key: a, secret_key: {SECRET}2}}]")
    assert "access key a is there more than once" in told


def test_values_come_from_the_environment_and_from_files(tmp_path):
    (tmp_path / "secret").write_text(SECRET + "\n")
    text = (
        "keys: [{access_key: ${ID}, secret_key: ${file:%s}}]\nregion: ${REGION:-eu-west-1}\n"
        "workers: ${WORKERS}\nauth: {sigv2: ${SIGV2}}\nkeys_: 1" % (tmp_path / "secret")
    ).replace("\nkeys_: 1", "")
    config = parse(text, "c.yaml", {"ID": "app", "WORKERS": "3", "SIGV2": "off", "REGION": ""})
    assert config.keys[0].access_key == "app"
    assert config.keys[0].secret_key.get_secret_value() == SECRET
    assert (config.region, config.workers, config.auth.sigv2) == ("eu-west-1", 3, False)


def test_a_reference_can_be_written_as_text():
    config = parse("keys: [{access_key: a, secret_key: '$${NAME}-and-more'}]", "c.yaml", {})
    assert config.keys[0].secret_key.get_secret_value() == "${NAME}-and-more"


def test_a_reference_in_a_comment_means_nothing():
    assert parse("# ${NOPE}\nregion: a  # ${NOPE}", "c.yaml", {}).region == "a"


@pytest.mark.parametrize(
    ("written", "seconds"), [("500ms", 0.5), ("30s", 30), ("15m", 900), ("1h30m", 5400), ("7d", 604800), ("1.5h", 5400)]
)
def test_durations(written, seconds):
    assert parse(f"drain: {written}", "c.yaml", {}).drain == seconds


@pytest.mark.parametrize(("written", "size"), [("20000", 20000), ("64KiB", 65536), ("64 kib", 65536), ("20KB", 20000)])
def test_sizes(written, size):
    assert parse(f"limits: {{headers: {written}}}", "c.yaml", {}).limits.headers == size


@pytest.mark.parametrize(
    ("written", "endpoint"),
    [("':9000'", ("0.0.0.0", 9000)), ("'[::1]:9000'", ("::1", 9000)), ("localhost:80", ("localhost", 80))],
)
def test_addresses(written, endpoint):
    assert parse(f"listen: {written}", "c.yaml", {}).listen == endpoint


def test_the_admin_port_can_be_off():
    assert parse("admin: off", "c.yaml", {}).admin is None


def test_one_or_many_domains():
    assert parse("domain: a.b", "c.yaml", {}).domain == ("a.b",)
    assert parse("domain: [a.b, c.d]", "c.yaml", {}).domain == ("a.b", "c.d")


def test_workers_auto_is_a_worker_for_each_processor():
    assert parse("workers: auto", "c.yaml", {}).worker_count == len(os.sched_getaffinity(0))


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load(tmp_path / "missing.yaml")


def test_secrets_in_a_file_that_everybody_may_read_are_noticed(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text(f"keys: [{{access_key: a, secret_key: {SECRET}}}]")
    file.chmod(0o644)
    assert is_exposed(file, load(file))
    file.chmod(0o600)
    assert not is_exposed(file, load(file))
    file.write_text("keys: [{access_key: a, secret_key: ${S}}]")
    file.chmod(0o644)
    assert not is_exposed(file, load(file, {"S": SECRET}))


def test_without_keys_one_is_made():
    assert isinstance(parse("region: a", "c.yaml", {}).keys, KeyFile)
