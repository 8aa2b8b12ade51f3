"""What the lab says, in English and in Chinese (LANG_LAB=zh, or the locale)."""

from __future__ import annotations

import os


def language() -> str:
    """`zh` or `en`: LANG_LAB decides, else the locale's variables."""
    for name in ("LANG_LAB", "LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def say(key: str, **facts: object) -> str:
    """A sentence of the lab's."""
    english, chinese = WORDS[key]
    return (chinese if language() == "zh" else english).format(**facts)


COMMON = {
    "unwritten": (
        "{what} is still as it was handed out: open work/{module} and write it.",
        "{what} 还是发下来的样子：打开 work/{module}，把它写出来。",
    ),
    "missing": (
        "work/{module} has no {what}: a function keeps the name that it was handed out with.",
        "work/{module} 里没有 {what}：函数要保留发下来时的名字。",
    ),
    "no-module": (
        "work/{module} is missing: make start CH={chapter} writes it anew.",
        "缺少 work/{module}：make start CH={chapter} 会重新写出它。",
    ),
    "syntax": (
        "Python cannot read work/{module}: {error}.",
        "Python 读不懂 work/{module}：{error}。",
    ),
    "crash": (
        "Your code raised {error} in {place}.",
        "你的代码在 {place} 抛出了 {error}。",
    ),
    "late-import": (
        "A module is imported too late: the first process has forbidden it, as the file would come "
        "from the container. Import it at the top of the module ({error}).",
        "模块导入得太晚：第一个进程已经禁止导入，因为那个文件会来自容器。请在模块开头导入（{error}）。",
    ),
    "hangs": (
        "It did not come to an end and was stopped after {seconds} seconds. {waits}",
        "它一直不结束，{seconds} 秒后被停掉。{waits}",
    ),
    "refused": (
        "mydocker gave up, with the message above: the call it names is the one to look at.",
        "mydocker 放弃了，原因见上面的消息：先看消息里提到的那个调用。",
    ),
    "silent": (
        "The command never ran: no process with it was found, and mydocker said nothing.",
        "命令没有运行：找不到它的进程，mydocker 也没有报错。",
    ),
    "leftover": (
        "After the end something is still there that was not there before.",
        "结束之后，多出了之前没有的东西。",
    ),
    "checker-killed": (
        "Your code has killed the checkpoint itself: a signal went to -1, to 0 or to a wrong pid.",
        "你的代码把检查程序自己杀掉了：信号发给了 -1、0 或错误的 pid。",
    ),
    "broken-check": (
        "The checkpoint itself failed, which is the course's fault: {error}. Run again with -v.",
        "检查点自身出错，这是课程的问题：{error}。请加 -v 再运行一次。",
    ),
}
"""Diagnoses that every step may come to."""

WORDS = {
    "mix-yours-ok": ("{name} yours ✓", "{name} 你的 ✓"),
    "mix-yours-test": ("{name} yours, under test", "{name} 你的，正在检查"),
    "mix-reference-test": ("{name} reference, under test", "{name} 参考实现，正在检查"),
    "mix-open": ("{name} reference (step {step} open)", "{name} 参考实现（第 {step} 步未完成）"),
    "mix-changed": (
        "{name} reference (yours has changed: make {name})",
        "{name} 参考实现（你的有改动：make {name}）",
    ),
    "mix-reference": ("{name} reference", "{name} 参考实现"),
    "mix-pure": ("{name} yours (PURE=1)", "{name} 你的（PURE=1）"),
    "begin": (
        "The reference passes, so this machine is fit. To write the chapter yourself: "
        "make start CH={number}",
        "参考实现全部通过，这台机器没有问题。自己动手写这一章：make start CH={number}",
    ),
    "chapter-done": (
        "Chapter {number} is yours: {got} of {points} points.",
        "第 {number} 章完成：{got} / {points} 分。",
    ),
    "points": ("{got} of {points} points", "{got} / {points} 分"),
    "expected": ("expected", "应该是"),
    "got": ("got", "实际是"),
    "see": ("see it yourself", "自己看看"),
    "why": ("why", "原因"),
    "hint": ("hint", "提示"),
    "read": ("read", "阅读"),
    "skipped": ("needs step {step} first", "先完成第 {step} 步"),
    "started": ("wrote work/{path}: {steps}", "写出 work/{path}：{steps}"),
    "kept": ("kept work/{path}: it is yours already", "保留 work/{path}：它已经是你的了"),
    "next": (
        "Now: make {name} (red at step {step}), then open work/{path}; make hint STEP={step} helps",
        "接下来：make {name}（停在第 {step} 步），再打开 work/{path}；提示：make hint STEP={step}",
    ),
    "backed-up": ("your files are in {path}", "你的文件保存在 {path}"),
    "no-files": (
        "there is nothing of chapter {number} in work/",
        "work/ 里没有第 {number} 章的文件",
    ),
    "hint-of": ("hint {n} of {all}", "提示 {n}/{all}"),
    "hint-more": ("again for a stronger one", "再运行一次，提示会更明确"),
    "spoil": (
        "step {step} has not passed yet: SPOIL=1 shows the solution all the same",
        "第 {step} 步还没有通过：SPOIL=1 可以直接看答案",
    ),
    "watching": (
        "watching work/ for chapter {number}; Ctrl-C ends it",
        "正在留意 work/ 的改动（第 {number} 章），Ctrl-C 结束",
    ),
    "changed": ("{files} changed", "{files} 有改动"),
    "course": ("The course", "课程"),
    "nothing-begun": ("make start CH=3 begins", "make start CH=3 开始"),
    "clean": ("nothing of mydocker's is left on this host", "这台主机上没有 mydocker 留下的东西"),
    "doctor-ok": ("this machine is fit for the course", "这台机器可以用来上这门课"),
    "doctor-bad": ("{n} things to put right", "有 {n} 处需要处理"),
    "left-from": ("removed", "已删除"),
    "root": ("the checkpoints need root", "检查需要 root 权限"),
}
