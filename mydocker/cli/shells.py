"""The completion scripts themselves, one function a shell (completion.py has what they say).

All three go the same way: find the command among the words, skip the values of its flags, count the
words before the cursor, and offer flags, words, names or files.
"""

from __future__ import annotations

import shlex

from mydocker.cli import COMMANDS
from mydocker.cli.completion import GLOBALS, QUERIES, SHELLS, Entry, below, synonyms

BASH_ASK = 'mydocker "${globals[@]}" %s'
ZSH_ASK = '${(f)"$(mydocker $globals %s)"}'


def bash(entries: list[Entry]) -> str:
    """For bash 4 and later, with or without the package bash-completion."""
    names = [
        f"        {kind}) {_each(BASH_ASK, queries, '; ')} ;;" for kind, queries in QUERIES.items()
    ]
    tables = []
    for entry in entries:
        takes = " ".join(f"{spelling}={kind}" for spelling, kind in entry.takes().items())
        tables.append(
            f"        {shlex.quote(entry.name)})\n"
            f"            flags={shlex.quote(' '.join(entry.spellings()))}\n"
            f"            takes={shlex.quote(f' {takes} ')}\n"
            f"            operands=({' '.join(entry.operands)}) repeats={_yes(entry.repeats)}"
            f" stops={_yes(entry.stops)}\n"
            "            ;;"
        )
    groups = "\n".join(
        f"        {name}) below={shlex.quote(' '.join(words))} ;;"
        for name, words in below(entries).items()
    )
    same = "\n".join(
        f"        '{words}') command={meant} ;;" for words, meant in synonyms().items()
    )
    fill = {
        "NAMES": "\n".join(names),
        "TABLES": "\n".join(tables),
        "GROUPS": groups,
        "SAME": same,
        "COMMANDS": " ".join(COMMANDS),
        "SHELLS": " ".join(SHELLS),
        "WITH_VALUE": "|".join(GLOBALS),
    }
    return _filled(BASH, fill)


def zsh(entries: list[Entry]) -> str:
    """For zsh: `_arguments` does the counting."""
    cases = []
    for entry in entries:
        specs = []
        for flag in entry.flags:
            kind = entry.takes().get(flag.names[0])
            for spelling in flag.names:
                value = f":{flag.metavar.replace(':', ' ') or 'value'}:{_zsh(kind)}" if kind else ""
                many = "*" if flag.kind == "list" else ""
                specs.append(f"{many}{spelling}[{_plain(flag.help)}]{value}")
        known = [kind for kind in entry.operands if kind != "none" or not entry.stops]
        for place, kind in enumerate(known, 1):
            last = place == len(known) and entry.repeats and not entry.stops
            specs.append(f"{'*' if last else place}:{kind}:{_zsh(kind)}")
        if entry.stops:
            specs.append("*:argument:_files")  # the container's, of whose files we know nothing
        arguments = " \\\n                ".join(map(shlex.quote, specs))
        cases.append(f"        {shlex.quote(entry.name)})\n            _arguments -s -S \\\n"
                     f"                {arguments}\n            ;;")  # fmt: skip
    groups = "\n".join(
        f"        {name}) second=({' '.join(words)}) ;;" for name, words in below(entries).items()
    )
    names = [
        f"        {kind}) found=({_each(ZSH_ASK, queries, ' ')}) ;;"
        for kind, queries in QUERIES.items()
    ]
    fill = {
        "CASES": "\n".join(cases),
        "GROUPS": groups,
        "NAMES": "\n".join(names),
        "SAME": "\n".join(f"        '{w}') command={meant} ;;" for w, meant in synonyms().items()),
        "COMMANDS": "\n".join(
            f"        {shlex.quote(f'{name}:{_plain(text)}')}" for name, text in COMMANDS.items()
        ),
        "WITH_VALUE": "|".join(GLOBALS),
    }
    return _filled(ZSH, fill)


def fish(entries: list[Entry]) -> str:
    """For fish: one `complete` for each thing that there is."""
    lines = []
    for name, text in COMMANDS.items():
        lines.append(f"complete -c mydocker -n '__mydocker_at \"\"' -a {name} -d {_quoted(text)}")
    for name, words in below(entries).items():
        lines.append(
            f"complete -c mydocker -n '__mydocker_at {name}' -a {_quoted(' '.join(words))}"
        )
    for entry in entries:
        at = f"complete -c mydocker -n {_quoted(f'__mydocker_at {entry.name}')}"
        for flag in entry.flags:
            spelled = " ".join(map(_fish_spelling, flag.names))
            kind = entry.takes().get(flag.names[0])
            value = f" {_fish(kind)}" if kind else ""
            lines.append(f"{at} {spelled}{value} -d {_quoted(flag.help)}")
        for place, kind in enumerate(entry.operands):
            last = place == len(entry.operands) - 1
            only = "" if last and entry.repeats else f"; and __mydocker_word {place}"
            there = f"complete -c mydocker -n {_quoted(f'__mydocker_at {entry.name}{only}')}"
            if kind != "none":
                lines.append(f"{there} {_fish(kind).replace('-x', '-f')}")
    takes = [
        f"        case {_quoted(entry.name)}\n            set takes {' '.join(entry.takes())}"
        for entry in entries
        if entry.takes()
    ]
    fill = {
        "GROUPS": " ".join(below(entries)),
        "TAKES": "\n".join(takes),
        "SAME": "\n".join(
            f"        case {_quoted(words)}\n            set command {meant}"
            for words, meant in synonyms().items()
        ),
        "NAMES": "\n".join(
            f"        case {kind}\n"
            + "\n".join(f"            mydocker $globals {query} 2>/dev/null" for query in queries)
            for kind, queries in QUERIES.items()
        ),
        "LINES": "\n".join(lines),
        "WITH_VALUE": " ".join(GLOBALS),
    }
    return _filled(FISH, fill)


def _filled(script: str, fill: dict[str, str]) -> str:
    for name, text in fill.items():
        script = script.replace(f"@{name}@", text)
    return script


def _each(form: str, queries: list[str], between: str) -> str:
    return between.join(form % query for query in queries)


def _yes(truth: bool) -> str:
    return "yes" if truth else ""


def _plain(text: str) -> str:
    """A description without what zsh reads as its own."""
    return text.replace("[", "(").replace("]", ")").replace(":", " -").replace("\n", " ")


def _zsh(kind: str) -> str:
    if kind == "files":
        return "_files"
    if kind == "shells":
        return f"({' '.join(SHELLS)})"
    if "|" in kind:
        return f"({kind.replace('|', ' ')})"
    # The blank before it keeps _arguments from putting words of its own into the call.
    return " " if kind == "none" else f" _mydocker_names {kind}"


def _fish(kind: str) -> str:
    if kind == "files":
        return "-r -F"
    if kind == "shells":
        return f"-x -a {_quoted(' '.join(SHELLS))}"
    if "|" in kind:
        return f"-x -a {_quoted(kind.replace('|', ' '))}"
    return "-x" if kind == "none" else f"-x -a '(__mydocker_names {kind})'"


def _fish_spelling(spelling: str) -> str:
    word = spelling.lstrip("-")
    kind = "-l" if spelling.startswith("--") else "-s" if len(word) == 1 else "-o"
    return f"{kind} {word}"


def _quoted(text: str) -> str:
    """In single quotes, as fish has them."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", " ")
    return f"'{escaped}'"


BASH = r"""# bash completion of mydocker, written by `mydocker completion bash`

_mydocker_names() { # KIND: the names that there are just now
    case $1 in
@NAMES@
        shells) echo @SHELLS@ ;;
        *\|*) echo "${1//|/ }" ;;
    esac 2>/dev/null
}

_mydocker_offer() { # KIND
    case $1 in
        files)
            compopt -o filenames
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            ;;
        none) ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$(_mydocker_names "$1")" -- "$cur") ;;
    esac
}

_mydocker() {
    local words cur command='' below='' flags takes operands repeats stops kind
    local globals=() place=1 count=0 word
    COMPREPLY=()
    # The words up to the cursor; bash itself would part them at `:` and `=`.
    read -ra words <<<"${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=('')
    cur=${words[-1]}
    while ((place < ${#words[@]} - 1)); do
        word=${words[place++]}
        case $word in
            @WITH_VALUE@)
                ((place < ${#words[@]} - 1)) || { _mydocker_offer files; return; }
                globals+=("$word" "${words[place++]}")
                ;;
            -*=*) globals+=("$word") ;;
            -*) ;;
            *)
                command=$word
                break
                ;;
        esac
    done
    case $command in
@GROUPS@
    esac
    if [[ $below ]]; then
        if ((place == ${#words[@]} - 1)); then
            mapfile -t COMPREPLY < <(compgen -W "$below" -- "$cur")
            return
        fi
        command="$command ${words[place++]}"
    fi
    case $command in
@SAME@
    esac
    case $command in
        '')
            mapfile -t COMPREPLY < <(compgen -W '@COMMANDS@' -- "$cur")
            return
            ;;
@TABLES@
        *) return ;;
    esac
    while ((place < ${#words[@]} - 1)); do
        word=${words[place++]}
        kind=
        if [[ $word == -?* ]]; then
            if [[ $takes == *" $word="* ]]; then
                kind=${takes##*" $word="}
            elif [[ $word == -[!-]?* && $word != *=* && " $flags " != *" $word "* ]]; then
                # Letters in a row: the last one may want a value.
                [[ $takes == *" -${word: -1}="* ]] && kind=${takes##*" -${word: -1}="}
            fi
            kind=${kind%% *}
            if [[ $kind ]] && ((place++ == ${#words[@]} - 1)); then
                _mydocker_offer "$kind"
                _mydocker_trim
                return
            fi
        else
            ((++count))
        fi
    done
    if [[ $cur == -* && ! ($stops && $count -gt 0) ]]; then
        if [[ $cur == *=* && $takes == *" ${cur%%=*}="* ]]; then
            kind=${takes##*" ${cur%%=*}="} word=${cur%%=*}= cur=${cur#*=}
            _mydocker_offer "${kind%% *}"
            COMPREPLY=("${COMPREPLY[@]/#/$word}") cur=$word$cur
        else
            mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$cur")
        fi
    else
        [[ $repeats ]] && ((count >= ${#operands[@]})) && count=$((${#operands[@]} - 1))
        kind=${operands[count]:-none}
        [[ $stops && $kind == none ]] && kind=files
        _mydocker_offer "$kind"
    fi
    _mydocker_trim
}

_mydocker_trim() { # bash replaces only what is after the last of `:` and `=`
    local before=
    [[ $cur == *[:=]* ]] && before=${cur%"${cur##*[:=]}"}
    COMPREPLY=("${COMPREPLY[@]#"$before"}")
}

complete -F _mydocker mydocker
"""

ZSH = r"""#compdef mydocker
# zsh completion of mydocker, written by `mydocker completion zsh`

_mydocker_names() { # KIND: the names that there are just now
    local -a found
    case $1 in
@NAMES@
    esac 2>/dev/null
    compadd -a found
}

_mydocker() {
    local command word place=2
    local -a globals second commands
    while ((place < CURRENT)); do
        word=$words[place]
        ((place++))
        case $word in
            @WITH_VALUE@)
                ((place < CURRENT)) || { _files; return }
                globals+=($word $words[place])
                ((place++))
                ;;
            -*=*) globals+=($word) ;;
            -*) ;;
            *)
                command=$word
                break
                ;;
        esac
    done
    commands=(
@COMMANDS@
    )
    if [[ -z $command ]]; then
        _describe command commands
        return
    fi
    case $command in
@GROUPS@
    esac
    if (($#second)); then
        if ((place == CURRENT)); then
            compadd -a second
            return
        fi
        command="$command $words[place]"
        ((place++))
    fi
    case $command in
@SAME@
    esac
    # What is before the command is nothing to _arguments.
    words=(mydocker "${(@)words[place,-1]}")
    ((CURRENT -= place - 2))
    case $command in
@CASES@
    esac
}

if [[ $funcstack[1] == _mydocker ]]; then
    _mydocker "$@" # found in $fpath and called by its name
else
    compdef _mydocker mydocker
fi
"""

FISH = r"""# fish completion of mydocker, written by `mydocker completion fish`

function __mydocker_line # what is before the cursor: globals, then the command, then its words
    set -l words (commandline -opc)[2..-1]
    set -l globals
    while set -q words[1]; and string match -q -- '-*' $words[1]
        set -a globals $words[1]
        if contains -- $words[1] @WITH_VALUE@; and set -q words[2]
            set -a globals $words[2]
            set -e words[1]
        end
        set -e words[1]
    end
    set -l command $words[1]
    set -e words[1]
    if contains -- "$command" @GROUPS@; and set -q words[1]
        set command "$command $words[1]"
        set -e words[1]
    end
    switch "$command"
@SAME@
    end
    switch $argv[1]
        case globals
            string join \n -- $globals
        case command
            echo $command
        case words
            string join \n -- $words
    end
end

function __mydocker_at # COMMAND: whether the line has come to that one
    test (__mydocker_line command) = "$argv"
end

function __mydocker_word # NUMBER: whether so many words of the command's own are there
    set -l takes
    switch (__mydocker_line command)
@TAKES@
    end
    set -l count 0
    set -l skip no
    for word in (__mydocker_line words)
        if test $skip = yes
            set skip no
        else if contains -- $word $takes
            set skip yes
        else if not string match -q -- '-*' $word
            set count (math $count + 1)
        end
    end
    test $skip = no -a $count -eq $argv[1]
end

function __mydocker_names # KIND: the names that there are just now
    set -l globals (__mydocker_line globals)
    switch $argv[1]
@NAMES@
    end
end

complete -c mydocker -f
@LINES@
"""
