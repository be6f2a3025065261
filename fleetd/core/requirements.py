"""What a task needs of a model instance: given, or read from its title and description (spec R2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from fleetd.core.route import MIN_CTX, LatencyClass, Requirements

LONG_CTX = 8_192
"""Tokens wanted when the text speaks of long contexts."""

ALIASES: Mapping[str, str] = {"big_ctx": "long_ctx", "code": "coding", "tests": "testing"}

WORDS: Mapping[str, tuple[str, ...]] = {
    "coding": (
        "api", "bug", "bugfix", "code", "coding", "compile", "compiler", "debug", "function", "implement", "implementation",
        "program", "programming", "python", "refactor", "refactoring", "rust", "golang", "java", "javascript", "typescript",
        "编码", "编程", "代码", "程序", "实现", "重构", "调试", "开发",
    ),
    "frontend": (
        "css", "frontend", "front-end", "html", "react", "ui", "vue", "svelte", "webpage", "前端", "界面", "页面", "样式",
    ),
    "backend": (
        "backend", "back-end", "database", "endpoint", "grpc", "microservice", "rest", "server", "sql", "后端", "服务端", "服务器",
        "数据库", "接口",
    ),
    "data": (
        "analysis", "analytics", "analyze", "csv", "data", "dataset", "etl", "pandas", "statistics", "数据", "分析", "统计",
    ),
    "testing": (
        "coverage", "pytest", "qa", "test", "testing", "tests", "unittest", "测试", "单测", "用例",
    ),
    "long_ctx": (
        "long context", "long-context", "long document", "long documents", "whole repository", "entire repository", "entire codebase",
        "large codebase", "长上下文", "长文本", "长文档", "整个仓库", "整个代码库",
    ),
}  # fmt: skip
"""Whole words that stand for a need. Chinese is written without spaces: there a word is found wherever its signs follow each other."""


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    # Longest first, so that `tests` is not read as `test` and a letter; a word ends where no letter, digit or _ follows.
    spaced = [re.escape(word) for word in sorted(words, key=len, reverse=True) if word.isascii()]
    signs = [re.escape(word) for word in words if not word.isascii()]
    return re.compile("|".join([rf"(?<![a-z0-9_])(?:{'|'.join(spaced)})(?![a-z0-9_])", *signs]))


_PATTERNS = {need: _pattern(words) for need, words in WORDS.items()}


def canonical(tag: str) -> str:
    """Return a tag as it is compared: lower case, without `agent:`, aliases resolved."""
    plain = tag.strip().lower().removeprefix("agent:")
    return ALIASES.get(plain, plain)


def canonical_all(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags as they are compared, each once, in the order given; empty ones are left out."""
    return tuple(dict.fromkeys(tag for tag in map(canonical, tags) if tag))


def extract(text: str) -> tuple[str, ...]:
    """Return the needs a text speaks of, in the order of WORDS; `general` when it speaks of none."""
    lowered = text.lower()
    found = {need: None for need, pattern in _PATTERNS.items() if pattern.search(lowered)}
    if "frontend" in found:
        found = {"coding": None, **found}
    return tuple(found) or ("general",)


def complete(
    title: str,
    description: str,
    *,
    needs: Iterable[str] = (),
    prefer: Iterable[str] = (),
    min_ctx: int = 0,
    latency_class: LatencyClass = LatencyClass.NORMAL,
    required: Iterable[str] = (),
    model: str = "",
) -> Requirements:
    """Return requirements in which given parts win; needs that are not given are read from the text, `min_ctx` 0 means not given."""
    wanted = canonical_all(needs)
    if not (wanted and min_ctx):
        read = extract(f"{title}\n{description}")
        wanted = wanted or read
        min_ctx = min_ctx or (LONG_CTX if "long_ctx" in read else MIN_CTX)
    return Requirements(
        wanted, canonical_all(prefer), min_ctx, latency_class, canonical_all(required), model.strip()
    )
