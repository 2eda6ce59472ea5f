"""Secrets leave no text; what is no secret stays as it was."""

import re
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_llm import drops
from otel_llm.redaction import FAILED, REDACTED, Scrubber

# Made up; put together here so that no scanner takes this file for a leak.
MIXED = "aB3dE5gH7jK9mN1p" + "Q3sT5vW7yZ9bC1dF"
HEX40 = "0123456789abcdef" * 2 + "01234567"
HEX64 = "0123456789abcdef" * 4
SECRETS = {
    "openai": "sk-" + MIXED,
    "openai project": "sk-proj-" + MIXED + "_x-y",
    "anthropic": "sk-ant-api03-" + MIXED,
    "google": "AIza" + "Sy" + MIXED + "x",
    "google oauth": "ya29." + "a0" + MIXED,
    "aws": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws session": "ASIA" + "IOSFODNN7EXAMPLE",
    "github": "ghp_" + MIXED,
    "github oauth": "gho_" + MIXED,
    "github fine-grained": "github_pat_" + MIXED,
    "gitlab": "glpat-" + MIXED,
    "slack": "xoxb-" + "123456789012-" + MIXED,
    "hugging face": "hf_" + MIXED,
    "groq": "gsk_" + MIXED,
    "xai": "xai-" + MIXED,
    "stripe": "sk_live_" + MIXED,
    "npm": "npm_" + MIXED,
    "nvidia": "nvapi-" + MIXED,
    "jwt": "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-DEF_123",
}
ASSIGNED = {  # text with {} where the secret stands
    "aws_secret_access_key = {}": "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
    "AWS_SECRET_ACCESS_KEY={}": "/JalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY",
    "sendgrid_api_key={}": "SG." + MIXED[:22] + "." + MIXED,
    "password = {}": "$ecret1",
    "WANDB_API_KEY={}": HEX40,
    "my wandb key is {}": HEX40,
    "together_api_key: {}": HEX64,
    '"key": "{}"': HEX64,
    "Authorization: Bearer {}": "abc123def456",
    "authorization: bearer {}": "abc123def456",
    "Authorization: Basic {}": "dXNlcjpwYXNz",
    "sent Basic {} again": "dXNlcjpwYXNz",
    "sent Bearer {} again": MIXED,
    'api_key="{}"': "hunter22",
    "apikey: '{}'": "abc def",
    "X-Api-Key: {}": "abc123",
    "api key: {}": "abc123",
    '{"password": "{}"}': "correct horse battery",
    '{\\"apiKey\\": \\"{}\\"}': "abc def",
    '{\\\\\\"apiKey\\\\\\": \\\\\\"{}\\\\\\"}': "abc def",
    "Server=x;User Id=sa;Password={};": "hunter",
    "AccountKey={};": MIXED + "==",
    "postgres://{}@host/db": "user:pa55",
    "mongodb+srv://{}@host": "u:p",
    "https://h/v1?key={}&alt=sse": "abc",
    "https://h/?a=1&sig={}": "AbC%2B",
    "?access_token={}": "abcd",
    "client_secret: {}": "s3cr3t-value",
    "secret={}": MIXED,
    "token: {}": MIXED,
}
PEM = "-----BEGIN RSA PRIVATE " + "KEY-----\nMIIEpAIBAAKCAQEA\nabc=\n-----END RSA PRIVATE " + "KEY-----"
HARMLESS = [
    "a task-list for risk-averse, desk-based people; sk-learn and disk-images-are-large-files",
    'token counts: 123, max_tokens=4096, {"token": "hello", "logprob": -0.1}',
    "gen_ai.usage.input_tokens=2113",
    "550e8400-e29b-41d4-a716-446655440000",
    HEX40,
    "commit " + HEX40,
    "sha256:" + HEX64,
    "Password: must be at least 8 characters",
    "Basic understanding of JavaScript, Basic HTML5CSS3",
    *(
        f"Basic {word}"
        for word in [
            "programming",
            "arithmetic",
            "knowledge",
            "questions",
            "principles",
            "education",
            "training",
        ]
    ),
    "private_key=/etc/ssl/key1.pem api_key=settings.api_key1 password=$PASSWORD1",
    "Bearer authentication is required; the bearer of bad news arrived",
    'The key: understanding. {"key": "value", "secret": "alliance with Germany"}',
    'api_key=os.environ["OPENAI_API_KEY"], password=getpass(), password=None',
    '{"api_key": {"type": "string"}, "password": null, "token": 5}',
    'api_key="<your key>" api_key=${API_KEY}',
    "sorted(key=lambda x: x[0]); primary_key=user_id; PWD=/home/user",
    "ssh://git@github.com/a/b and mailto:bob@example.com and http://localhost:8080/@x",
    "hf_hub_download_with_retry, from_pretrained, ghp_short",
    "Asia, AKIA, eyJust, ya29, AIzaak, -----BEGIN CERTIFICATE-----",
    "invalid token: unexpected <",
    "the API key: see https://example.com/api-keys1",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk",
    "模型回答每一个问题: 天气=晴",
]


@pytest.fixture(autouse=True)
def _no_counts():
    drops.reset()
    yield
    drops.reset()


@pytest.mark.parametrize(
    "surroundings", ["%s", "see %s.", "see\n%s\nthere", "(%s)", '{"a": "%s"}', "é%s→", "a,%s"]
)
@pytest.mark.parametrize("kind", SECRETS)
def test_known_kinds_of_secrets_are_scrubbed_wherever_they_stand(kind, surroundings):
    assert Scrubber().text(surroundings % SECRETS[kind]) == surroundings % REDACTED


@pytest.mark.parametrize("text", ASSIGNED)
def test_values_are_scrubbed_after_names_that_promise_a_secret(text):
    assert Scrubber().text(text.replace("{}", ASSIGNED[text])) == text.replace("{}", REDACTED)


@pytest.mark.parametrize(
    "secret",
    [*SECRETS.values(), *(t.replace("{}", s) for t, s in ASSIGNED.items() if "\\\\" not in t), PEM],
)
def test_secrets_are_scrubbed_in_json_and_in_json_within_json(secret):
    once = orjson.dumps({"text": f"so\n{secret}\nit is"}).decode()
    twice = orjson.dumps([once, {secret: 1}]).decode()
    for encoded in (once, twice):
        scrubbed = Scrubber().text(encoded)
        assert REDACTED in scrubbed
        orjson.loads(scrubbed)
    value = orjson.loads(Scrubber().text(once))["text"]
    assert value == Scrubber().text(f"so\n{secret}\nit is")


def test_a_private_key_is_scrubbed_whole_and_what_follows_stays():
    assert Scrubber().text(f"a\n{PEM}\nb") == f"a\n{REDACTED}\nb"
    assert Scrubber().text(PEM[:49] + "\nregards") == f"{REDACTED}regards"


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays(text):
    assert Scrubber().text(text) == text


def test_a_string_that_ends_in_a_name_does_not_reach_into_what_follows():
    for name in ("?key=", "password=", "api_key: ", "token:", "Bearer ", "key is "):
        encoded = orjson.dumps([{name: None}, {name: MIXED}, name, True]).decode()
        assert [type(v) for v in orjson.loads(Scrubber().text(encoded))] == [dict, dict, str, bool]


def test_a_value_that_json_escapes_is_scrubbed_whole():
    encoded = orjson.dumps({"password": 'p"q\\r\nstill'}).decode()
    assert Scrubber().text(encoded) == '{"password":"[redacted]"}'


fragments = st.sampled_from(
    [
        *SECRETS.values(), *(t.replace("{}", s) for t, s in ASSIGNED.items()), PEM, *HARMLESS,
        "sk-", "AKIA", "eyJ", "ghp_", "Bearer ", "Basic ", "key", "token", "password", "api_key", "secret", "://", "?key=",
        "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----",
        *":=@&\"'\\\n\t {}[],;-_./aA9JBnrtbfu", "abc", "x1y2z3w4v5u6t7s8", HEX40, "[redacted]", "é", "\u2028", "\U0001f600",
    ]
)  # fmt: skip
texts = st.lists(fragments, max_size=12).map("".join) | st.text(max_size=80)
values = st.recursive(
    texts | st.integers(-(2**53), 2**53) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(texts)
def test_scrubbing_twice_is_scrubbing_once(text):
    once = Scrubber().text(text)
    assert Scrubber().text(once) == once


@given(values, st.sampled_from([0, orjson.OPT_INDENT_2]))
def test_json_stays_json(value, option):
    encoded = orjson.dumps(value, option=option).decode()
    again = orjson.loads(Scrubber().text(encoded))
    assert type(again) is type(value)
    if isinstance(value, list):
        assert len(again) == len(value)


@given(st.sampled_from(list(SECRETS.values())), texts.filter(lambda t: not t or not t[-1].isalnum()))
def test_no_text_before_a_secret_hides_it(secret, before):
    assert Scrubber().text(before + " " + secret).endswith(REDACTED)


@pytest.mark.parametrize(
    "unit",
    [
        "sk-", "sk-a", "eyJ", "eyJa.", "token=", "token: ", 'password="', 'password=\\"', "\\", "Bearer a", "://a:b@", "AKIA",
        "-----BEGIN A PRIVATE KEY-----\n", "?key=a&", '"token":"', 'token="\\"', "-", "=", 'credential="a1', "key is ",
    ],
)  # fmt: skip
def test_no_text_takes_more_than_linear_time(unit):
    scrubber = Scrubber()

    def seconds(length):
        text = (unit * length)[:length]
        start = time.perf_counter()
        scrubber.text(text)
        scrubber.url(text)
        return time.perf_counter() - start

    # 16 times the text: linear is 16, quadratic 256. Short times are not judged.
    small, large = min(seconds(4_000), seconds(4_000)), seconds(64_000)
    assert large < max(64 * small, 0.5)


@pytest.mark.parametrize(
    ("url", "scrubbed"),
    [
        ("https://h/v1/models?key=abc&alt=sse", "https://h/v1/models?key=[redacted]&alt=sse"),
        ("https://h/?api_key=a&x=1&token=b#access_token=c", "https://h/?api_key=[redacted]&x=1&token=[redacted]#access_token=[redacted]"),
        ("https://h/?X-Amz-Signature=ab12&sig=q", "https://h/?X-Amz-Signature=[redacted]&sig=[redacted]"),
        ("https://me:pw@h/p", "https://[redacted]@h/p"),
        ("https://token@h:8080/p", "https://[redacted]@h:8080/p"),
        (f"https://h/{SECRETS['openai']}/x", "https://h/[redacted]/x"),
        ("https://h/v1/chat/completions?timeout=3&keyboard=de", "https://h/v1/chat/completions?timeout=3&keyboard=de"),
        ("https://h/p@q?monkey=1", "https://h/p@q?monkey=1"),
    ],
)  # fmt: skip
def test_urls_lose_user_information_and_secret_parameters(url, scrubbed):
    assert Scrubber().url(url) == scrubbed
    assert Scrubber().url(scrubbed) == scrubbed


@pytest.mark.parametrize(
    "key",
    ["authorization", "http.request.header.authorization", "x-api-key", "x-goog-api-key", "api_key", "Cookie", "set-cookie",
     "db.password", "client_secret", "http.request.header.x_amz_security_token", "proxy-authorization", "aws.secret_access_key"],
)  # fmt: skip
def test_attributes_that_hold_secrets_are_replaced_whole(key):
    assert Scrubber().attribute(key, "anything") == REDACTED
    assert Scrubber().attribute(key, ("a", "b")) == (REDACTED, REDACTED)


def test_other_attributes_lose_only_their_secrets():
    scrub = Scrubber().attribute
    assert scrub("gen_ai.request.model", "gpt " + SECRETS["openai"]) == f"gpt {REDACTED}"
    assert scrub("gen_ai.request.stop_sequences", ["a", SECRETS["github"]]) == ("a", REDACTED)
    assert scrub("url.full", "https://h/?key=x") == "https://h/?key=[redacted]"
    assert scrub("gen_ai.usage.input_tokens", 2113) == 2113
    assert scrub("gen_ai.token.type", "input") == "input"
    assert scrub("sizes", (1, 2)) == (1, 2)


def test_the_users_patterns_are_scrubbed_too():
    assert Scrubber([r"\bT-\d+\b"]).text("ticket T-123") == "ticket [redacted]"
    with pytest.raises(re.error):
        Scrubber(["("])


def test_the_users_patterns_cannot_break_json():
    scrubbed = Scrubber([r"[\d\"{}:,]+"]).json('{"n":12,"role":"user","t":["call 12, now"]}')
    assert orjson.loads(scrubbed) == {"n": 12, "role": "user", "t": ["call [redacted] now"]}


def test_the_hook_sees_what_is_left_and_has_the_last_word():
    seen = []

    def hook(text):
        seen.append(text)
        return text.upper()

    assert Scrubber(hook=hook).text("I am bob, " + SECRETS["openai"]) == "I AM BOB, [REDACTED]"
    assert seen == ["I am bob, [redacted]"]
    assert Scrubber(hook=hook).json('{"type":"text","content":"hi"}') == '{"type":"text","content":"HI"}'


@pytest.mark.parametrize("hook", [lambda text: 1 / 0, lambda text: None])
def test_a_hook_that_fails_leaks_nothing_raises_nothing_and_is_counted(hook):
    scrubber = Scrubber(hook=hook)
    assert scrubber.text("private") == FAILED
    assert scrubber.json('{"content":"private"}') == f'{{"content":"{FAILED}"}}'
    assert drops.counts() == {("content", "redaction_failed"): 2}


def test_lone_surrogates_and_control_characters_do_no_harm():
    text = "\ud800\x00\x01\x02 " + SECRETS["openai"] + " \udfff"
    assert Scrubber().text(text) == "?\x00\x01\x02 [redacted] ?"
