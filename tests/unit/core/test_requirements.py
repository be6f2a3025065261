"""What a task needs, given or read from its text: R2, R2a."""

import pytest

from fleetd.core.requirements import canonical, complete, extract
from fleetd.core.route import LatencyClass


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("Refactor the parser", ("coding",)),
        ("Fix the React page", ("coding", "frontend")),
        ("重构前端界面", ("coding", "frontend")),
        ("Tune the SQL server", ("backend",)),
        ("统计数据", ("data",)),
        ("为解析器写测试", ("testing",)),
        ("Read the whole repository and add tests", ("testing", "long_ctx")),
        ("Say hello", ("general",)),
        ("", ("general",)),
        ("Write unit tests, run pytest", ("testing",)),
        ("FRONT-END", ("coding", "frontend")),
        ("front end", ("coding", "frontend")),
        ("用React写登录页", ("coding", "frontend")),
        ("Port the C++ part", ("coding",)),
        ("Port the C# part", ("coding",)),
        ("React+Django", ("coding", "frontend", "backend")),
        ("Django REST-API", ("coding", "backend")),
        ("設計資料庫", ("backend", "data")),
        ("總結長文檔", ("long_ctx",)),
        ("add a test.", ("testing",)),
        ("tests,data/code", ("coding", "data", "testing")),
    ],
)
def test_needs_are_read_from_whole_words_in_english_and_chinese(text, needs):
    """R2: frontend implies coding; a text that speaks of nothing is general."""
    assert extract(text) == needs


@pytest.mark.parametrize(
    "text",
    [
        "April sprint",
        "the latest news",
        "breakfast menu",
        "contest of poets",
        "update the date",
        "forest walk",
        "guide to Rome",
        "decode_me",
        "unit_tests_of_mine",
        "tésting",
        "the rest of the day",
        "vitamin c + zinc",
        "公开发布的消息",
        "系统计划",
        "世界面临的问题",
        "直接口头告诉我",
        "the road is long. Context matters",
    ],
)
def test_a_word_inside_another_word_says_nothing(text):
    """R2a."""
    assert extract(text) == ("general",)


def test_given_parts_win_and_the_others_are_read():
    """R2."""
    read = complete("Fix the code", "in a large codebase")
    assert (read.needs, read.min_ctx) == (("coding", "long_ctx"), 8_192)
    given = complete("Fix the parser", "", needs=["agent:Tests", "vision", "tests"], required=["BIG_CTX"])
    assert given.needs == ("testing", "vision")
    assert given.required == ("long_ctx",)
    assert given.min_ctx == 4_096
    assert complete("long context", "", min_ctx=2_000).min_ctx == 2_000
    assert complete("x", "", latency_class=LatencyClass.FAST).latency_class is LatencyClass.FAST


def test_preferring_fast_is_said_and_never_read():
    """R2a: breakfast is not fast."""
    assert complete("a fast breakfast", "").prefer == ()


def test_aliases_have_one_name():
    """R2."""
    assert [canonical(tag) for tag in ("big_ctx", "code", "tests", "agent:CODE", " Vision ")] == [
        "long_ctx",
        "coding",
        "testing",
        "coding",
        "vision",
    ]
