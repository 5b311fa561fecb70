"""Messages in the words of a shell: where they say what to do in Python, the option or command that does it instead."""

from __future__ import annotations

import re

# What a message may say, and what somebody at a shell can do. Each is as long as needed to be no cell of a table.
_WORDS = [
    (re.compile(python, re.DOTALL), shell)
    for python, shell in (
        (r"read_table\(\.\.\., pad_to=\{'(.*?)': (\d+)\}\) or findings\.fixed\(df\) writes",
         r"--pad-to \1=\2 or --fix all writes"),
        (r"plan\(\.\.\., errors='reject'\) goes on", "--errors reject goes on"),
        (r"findings\.fixed\(df\) gives a copy with (.*?) fixed; ", r"--fix all mends \1; "),
        (r"plan\(\.\.\., errors='reject'\)\. All findings: findings\.frame",
         "--errors reject. All findings: `scmkit validate`, or --findings FILE.xlsx"),
        (r", see \.applied", ""),
        (r", see plan\.findings", ": `scmkit validate` lists them"),
        (r"on_conflict='last' or 'first'", "--on-conflict last or first"),
        (r"mode='async' or 'auto'", "--mode async or auto"),
        (r"mode='(sync|async)' was asked for", r"--mode \1 was asked for"),
        (r"key='extended_id' is certain", "--key extended_id is certain"),
        (r": give inventory=, history= or default=", ": give --inventory"),
        (r"upload\(\.\.\., anyway=True\)", "--anyway"),
        (r"scmkit\.resume\('([^']*)', anyway=True\)", r"`scmkit resume \1 --anyway`"),
        (r"scmkit\.resume\('([^']*)'\)", r"`scmkit resume \1`"),
        (r"\bresume\(\.\.\., anyway=True\)", "`scmkit resume ID --anyway`"),
        (r"scmkit\.resume\(\)", "`scmkit resume ID`"),
        (r"scmkit\.jobs\(\)", "`scmkit jobs`"),
        (r"with journal=path(, or do without: journal=False)?", "with the variable SCMKIT_JOURNAL"),
        (r", or pass Client\(token=\.\.\.\)\. Without an account: scmkit\.Sandbox\(\)\.client\(\)",
         ". Without an account: `scmkit demo`, or `scmkit sandbox` in another shell"),
        (r", or with Client\(ca_file=\.\.\.\)", ""),
        (r'encoding="([\w-]+)"', r"--encoding \1"),
        (r"say which with delimiter=", "say which with --delimiter"),
        (r"\b(sheet|encoding|delimiter|header)= means nothing", r"--\1 means nothing"),
        (r"read_table\(\.\.\., header=(\d+)\) reads it", r"--header \1 reads it"),
        (r"read_table\('.*?', sheet='(.*?)'\) reads it", r"--sheet '\1' reads it"),
        (r"; sheet= reads it nevertheless", ""), (r"say delimiter=','", "say --delimiter ','"),
        (r"header=(\d+), but", r"--header \1, but"),
        (r"sheet='(.*?)'", r"--sheet '\1'"),
        (r"; pandas needs index=False to write no nameless index", ""),
        (r"job\.rows says what became of the rows", "what became of the rows is listed"),
        (r"write the table with index=False", "save the table without that column"),
        (r" \(or is it pandas' index\?\)", ""),
        (r"read the key as text, read_table\(.*?\) restores zeros", "make the column text in the file"),
        (r"if it is a date, say fields=\{.*?: 'date', \.\.\.\}; ", "if it is a date, correct it: "),
        (r" \(\.dt\.normalize\(\)\)", ""),
    )
]  # fmt: skip


def in_shell_words(text: str) -> str:
    """Return a message for somebody who is at a shell, not in Python."""
    for python, shell in _WORDS:
        text = python.sub(shell, text)
    return text
