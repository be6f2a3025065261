"""What a task needs of a model instance: given, or read from its title and description (spec R2, R2a)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

from fleetd.core.route import MIN_CTX, LatencyClass, Requirements

LONG_CTX = 8_192
"""Tokens wanted when the text speaks of long contexts."""

ALIASES: Mapping[str, str] = {"big_ctx": "long_ctx", "code": "coding", "tests": "testing"}

VOCABULARY: Mapping[str, str] = {
    "coding": """
        algorithm, api, apis, bug, bugfix, bugs, code, codebase, coding, compile, compiler, debug, debugging, developer, function,
        functions, golang, implement, implementation, implementing, java, javascript, kotlin, php, program, programmer, programming, python,
        refactor, refactored, refactoring, rust, script, scripts, sdk, typescript, pull request, source code, c #, + +,
        代码, 代碼, 程式, 编码, 編碼, 编程, 編程, 程序, 实现, 實現, 實作, 重构, 重構, 调试, 調試, 除錯, 开发, 開發, 算法, 演算法, 脚本, 腳本, 函数, 函數""",
    "frontend": """
        angular, css, frontend, html, nextjs, react, svelte, tailwind, ui, ux, vue, webpage, webpages, front end, landing page,
        login page, user interface, web page, web pages,
        前端, 界面, 介面, 页面, 頁面, 网页, 網頁, 样式, 樣式, 全栈, 全棧""",
    "backend": """
        api, apis, backend, database, databases, django, endpoint, endpoints, fastapi, flask, graphql, grpc, kafka, microservice,
        microservices, middleware, mongodb, mysql, postgres, postgresql, redis, restful, server, servers, sql, sqlite, back end, rest api,
        server side, web service,
        后端, 後端, 服务端, 服務端, 服务器, 伺服器, 数据库, 資料庫, 數據庫, 接口, 微服务, 微服務, 中间件, 全栈, 全棧""",
    "data": """
        analysis, analytics, analyse, analyze, csv, data, dataframe, dataset, datasets, etl, numpy, pandas, parquet, spreadsheet,
        spreadsheets, statistical, statistics,
        数据, 數據, 資料, 分析, 统计, 統計, 报表, 報表""",
    "testing": """
        coverage, e2e, playwright, pytest, qa, selenium, tdd, test, tested, tester, testing, tests, unittest, unittests, regression suite,
        quality assurance,
        测试, 測試, 单测, 單測, 用例""",
    "long_ctx": """
        big_ctx, long_ctx, big context, large context, long context, long document, long documents, long text, long texts, large document,
        large documents, large codebase, entire codebase, whole codebase, entire repository, whole repository, entire book, whole book,
        长上下文, 長上下文, 大上下文, 超长文, 超長文, 长文本, 長文本, 长文档, 長文檔, 长文, 長文, 整个仓库, 整個倉庫, 整个代码库, 整個代碼庫, 整本书, 整本書""",
}
"""
What stands for a need: whole words, and pairs of words with a space or a hyphen between them. Chinese is written without spaces: there a
word is found wherever its signs follow each other. A word may stand for several needs.
"""

WORD = re.compile(r"[a-z0-9_\u00c0-\u1fff]+|[.,;:!?()+#]")
"""
A word ends where no letter, digit or _ follows. Marks between words are words of their own: no pair reaches over them, C# is the pair
`c #`, and C++ is known by its `+ +`.
"""


def _needs_of_terms() -> dict[str, tuple[str, ...]]:
    """Return the vocabulary the other way round: the needs that each of its terms stands for."""
    needs: dict[str, tuple[str, ...]] = {}
    for need, listed in VOCABULARY.items():
        for term in listed.split(","):
            needs[term.strip()] = (*needs.get(term.strip(), ()), need)
    return needs


TERMS: Mapping[str, tuple[str, ...]] = _needs_of_terms()
CHINESE = tuple(term for term in TERMS if not term.isascii())
STRADDLING = re.compile(
    "公开发|公開發|展开发|展開發|系统计|系統計|世界面|直接口|常用例|目前端|现实现|現實現|部分析"
)
"""Where two Chinese words meet and look like a third: 公开|发布 is no 开发, 系统|计划 no 统计, 世界|面临 no 界面."""


def canonical(tag: str) -> str:
    """Return a tag as it is compared: lower case, without `agent:`, aliases resolved."""
    plain = tag.strip().lower().removeprefix("agent:")
    return ALIASES.get(plain, plain)


def canonical_all(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags as they are compared, each once, in the order given; empty ones are left out."""
    return tuple(dict.fromkeys(tag for tag in map(canonical, tags) if tag))


def extract(text: str) -> tuple[str, ...]:
    """Return the needs a text speaks of, in the order of VOCABULARY; `general` when it speaks of none."""
    lowered = text.lower()
    words = WORD.findall(lowered)
    terms = [*words, *map(" ".join, pairwise(words))]
    if not lowered.isascii():
        apart = STRADDLING.sub(" ", lowered)
        terms += [term for term in CHINESE if term in apart]
    found = {need for term in terms if term in TERMS for need in TERMS[term]}
    if "frontend" in found:
        found.add("coding")
    return tuple([need for need in VOCABULARY if need in found]) or ("general",)


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
